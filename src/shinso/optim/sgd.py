r"""Stochastic gradient descent, with momentum (Robbins and Monro 1951; Polyak 1964; Nesterov 1983).

    g = grad + wd w,   v = mu v + (1 - damp) g,   w = w - lr (g + mu v if Nesterov else v)               (1)

torch.optim.SGD with less around its fused call. The state is torch's: checkpoints, hooks and schedulers of either serve
the other, and the values are equal bit for bit.
"""

from collections.abc import Callable
from typing import Any, cast, final

import torch

from shinso.optim._lean import AbstractLean, inherited_step, moving


@final
class SGD(AbstractLean, torch.optim.SGD):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*, ...)
    """Drop-in for torch.optim.SGD(..., fused=True)."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore - torch's has overloads
        """One update (1). With a closure, or where `moving` says no, torch's own step does it."""
        weights = moving(self.param_groups) if closure is None else None
        begun = [{"momentum_buffer" in self.state.get(w, {}) for w in group} for group in weights or []]
        if weights is None or any(len(kinds) > 1 for kinds in begun):
            return inherited_step(torch.optim.SGD)(self, closure)
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
