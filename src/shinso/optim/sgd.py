r"""Stochastic gradient descent, with momentum (Robbins and Monro 1951; Polyak 1964; Nesterov 1983).

    g = grad + wd w,   v = mu v + (1 - damp) g,   w = w - lr (g + mu v if Nesterov else v)               (1)

torch.optim.SGD with less around its fused call. The state is torch's: checkpoints, hooks and schedulers of either serve
the other, and the values are equal bit for bit.
"""

from collections.abc import Callable
from typing import Any, cast, final

import torch

from shinso.kernels.elementwise import Rule
from shinso.optim._elementwise import AbstractTwin, Group
from shinso.optim._lean import moving


@final
class SGD(AbstractTwin, torch.optim.SGD):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*, ...)
    """Drop-in for torch.optim.SGD; with fused=True bit for bit its fused form."""

    TWIN = torch.optim.SGD
    SCALARS = ()  # the state is the velocity alone

    def chosen(self, group: Group) -> tuple[Rule, tuple[str, ...]]:
        if not group["momentum"]:
            return _alone, ()
        return _looking_ahead if group["nesterov"] else _with_momentum, ("momentum_buffer",)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        first = step == 1  # when the velocity is the gradient, whatever the dampening
        return group["lr"], group["momentum"], 1.0 if first else 1 - group["dampening"]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore - torch's has overloads
        """One update (1): fused=True by torch's fused call as long as `moving` says yes."""
        weights = moving(self.param_groups) if closure is None else None
        begun = [{"momentum_buffer" in self.state.get(w, {}) for w in group} for group in weights or []]
        if weights is None or any(len(kinds) > 1 for kinds in begun):
            return super().step(closure)
        self._bundled = None
        for group, mine, kinds in zip(self.param_groups, weights, begun, strict=True):
            if not mine:
                continue
            momenta = []
            if group["momentum"]:
                for w in mine:
                    self.state[w].setdefault("momentum_buffer", torch.empty_like(w.detach()))
                momenta = [self.state[w]["momentum_buffer"] for w in mine]
            with torch.no_grad():
                cast(Any, torch)._fused_sgd_(  # (1), a call without a public name
                    mine, [w.grad for w in mine], momenta, weight_decay=group["weight_decay"],
                    momentum=group["momentum"], lr=group["lr"], dampening=group["dampening"],
                    nesterov=group["nesterov"], maximize=group["maximize"], is_first_step=kinds == {False},
                )  # fmt: skip
        return None


def _alone(w, g, s, h):
    """(1) without momentum"""
    return w - h[0] * g, ()


def _with_momentum(w, g, s, h):
    """(1) without Nesterov"""
    rate, mu, share = h
    v = mu * s[0] + share * g
    return w - rate * v, (v,)


def _looking_ahead(w, g, s, h):
    """(1) with Nesterov"""
    rate, mu, share = h
    v = mu * s[0] + share * g
    return w - rate * (g + mu * v), (v,)
