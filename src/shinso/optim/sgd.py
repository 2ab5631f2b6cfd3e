r"""Stochastic gradient descent, with momentum (Robbins and Monro 1951; Polyak 1964; Nesterov 1983).

    g = grad + wd w,   v = mu v + (1 - damp) g,   w = w - lr (g + mu v if Nesterov else v)               (1)

torch.optim.SGD with less around its fused call. The state is torch's: checkpoints, hooks and schedulers of either serve
the other, and the values of the fused call are equal bit for bit. The course writes Nesterov's method as

    v = mu v - lr grad(w + mu v),   w = w + v                                                            (2)

which is (1) for the looked-ahead point w + mu v.
"""

from collections.abc import Callable
from typing import Any, cast, final

import torch

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.kernels.elementwise import Rule
from shinso.optim._elementwise import AbstractTwin, Bundle, Group
from shinso.optim._lean import moving
from shinso.optim._walk import along, walk, weights

LARGE = 2**16
"""entries of a weight, on average, that do not fit into a core's fast memory together with their gradients"""


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

    def _apply(self, group: Group, bundle: Bundle, grads: list[torch.Tensor]) -> None:
        # Where memory is all that is waited for, the narrower vectors of torch's loop over w and g wait less.
        if group["momentum"] or sum(bundle.places.entries) < LARGE * len(grads):
            return super()._apply(group, bundle, grads)
        cast(Any, torch)._fused_sgd_(
            bundle.weights, grads, [], weight_decay=group["weight_decay"], momentum=0.0, lr=float(group["lr"]),
            dampening=0.0, nesterov=False, maximize=group["maximize"], is_first_step=False,
        )  # fmt: skip
        return None

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


def single_examples_agree_with_the_whole_on_average() -> Check:
    """The mean of the 64 steps of one example each is the step of the whole data, to 1e-14.

    Source: Robbins and Monro 1951: the gradient of an example is right on average
    """
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(64, n, generator=draw, dtype=torch.float64) for n in (5, 1))
    start = torch.ones(5, dtype=torch.float64)

    def moved(rows: slice) -> torch.Tensor:
        return walk(SGD([weights(start)], lr=1.0),
                    lambda w: ((x[rows] @ w)[:, None] - y[rows]).mul(x[rows]).mean(0), 1)[1] - start

    alone = torch.stack([moved(slice(i, i + 1)) for i in range(64)]).mean(0)
    return at_most(float((alone - moved(slice(None))).abs().max()), 1e-14)


def with_falling_steps_it_is_the_mean() -> Check:
    """With rates 1 / t on (w - x_t)^2 / 2 it stands on the mean of the 200 examples seen, to 1e-14.

    Source: w_t = w_{t-1} + (x_t - w_{t-1}) / t is the running average
    """
    x = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w = weights([7.0])
    optimiser = SGD([w], lr=1.0)
    for t, value in enumerate(x, 1):
        optimiser.param_groups[0]["lr"] = 1 / t
        walk(optimiser, lambda at, value=value: at - value, 1)
    return at_most(float((w.detach() - x.mean()).abs()), 1e-14)


def momentum_multiplies_a_constant_slope() -> Check:
    """Under a constant gradient of 3 the 400th step with momentum 0.9 is 10 lr g, to 1e-12 of it.

    Source: Polyak 1964: the velocity tends to g / (1 - mu)
    """
    path = along(SGD([weights([0.0])], lr=0.01, momentum=0.9), [3.0] * 400)
    return about((path[-2] - path[-1]) / (0.01 * 3), 10.0, 1e-11)


def the_heavy_ball_contracts_as_promised() -> Check:
    """On curvatures 1 to 100 with the best constants the error shrinks by 9 / 11 a step, to 0.01, over 1000 steps.

    Source: Polyak 1964: (sqrt(k) - 1) / (sqrt(k) + 1) with k = 100
    """
    scale = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    ball = SGD([weights([1.0, 1.0, 1.0])], lr=4 / 11**2, momentum=(9 / 11) ** 2)
    return about(float(walk(ball, lambda w: scale * w, 1000)[-1].norm()) ** (1 / 1000), 9 / 11, 0.01)


def a_rate_inside_the_velocity_parts_when_it_changes() -> Check:
    """With v = mu v - lr g, as the course has it, halving the rate after 10 of 20 steps ends over 0.01 elsewhere.

    Source: torch has the rate outside of the velocity; at a constant rate the two are one
    """
    w = weights([1.0])
    optimiser, place, velocity = SGD([w], lr=0.1, momentum=0.9), 1.0, 0.0
    for t in range(20):
        optimiser.param_groups[0]["lr"] = lr = 0.1 if t < 10 else 0.05
        walk(optimiser, lambda at: at, 1)
        velocity = 0.9 * velocity - lr * place
        place += velocity
        assert t >= 10 or abs(place - float(w.detach())) < 1e-14  # noqa: S101 - the other half of the claim
    return at_least(abs(place - float(w.detach())), 0.01)


def nesterovs_code_is_his_formula_looked_ahead() -> Check:
    """Over 200 steps on w^2 / 2 + cos w the code's weight is w + mu v of equation (2), to 1e-13.

    Source: Sutskever et al. 2013; Bengio et al. 2013
    """
    path = walk(SGD([weights([2.0])], lr=0.1, momentum=0.9, nesterov=True), lambda w: w - w.sin(), 200)
    w, v, worst = torch.tensor([2.0], dtype=torch.float64), torch.zeros(1, dtype=torch.float64), 0.0
    for there in path[1:]:
        ahead = w + 0.9 * v
        v = 0.9 * v - 0.1 * (ahead - ahead.sin())  # (2)
        w = w + v
        worst = max(worst, float((w + 0.9 * v - there).abs()))
    return at_most(worst, 1e-13)


CARD = Card(
    name="Stochastic gradient descent, momentum, Nesterov",
    name_ja="確率的勾配降下法、Momentum、Nesterov の加速勾配法",
    paper="Robbins and Monro 1951, doi:10.1214/aoms/1177729586; Polyak 1964; Nesterov 1983",
    equations=(
        r"g = \nabla + \lambda w,\quad v = \mu v + (1 - \delta)\, g,\quad w = w - \eta v \ "
        r"\mathrm{or}\ w - \eta (g + \mu v)",
        r"v = \mu v - \eta \nabla f(w + \mu v),\quad w = w + v",
    ),
    summary="A step against the gradient of a batch, with a velocity that remembers earlier ones, or looks ahead.",
    summary_ja="ミニバッチの勾配と逆向きに進む。以前の勾配を覚える速度や、先を見る速度も使える。",
    topics=("optim.sgd", "optim.momentum", "optim.nesterov"),
    facts=(single_examples_agree_with_the_whole_on_average, with_falling_steps_it_is_the_mean,
           momentum_multiplies_a_constant_slope, the_heavy_ball_contracts_as_promised,
           a_rate_inside_the_velocity_parts_when_it_changes, nesterovs_code_is_his_formula_looked_ahead),
    notes=("A slide has w + lr grad: that climbs. The step goes against the gradient.",
           "The article's second notation is the sum over all examples, which is not stochastic; its classes call "
           "params.key(), which does not exist.",
           "Nesterov's code keeps the looked-ahead point: looking ahead of it again counts the look twice."),
    notes_ja=("w + lr grad と書いたスライドがあるが、それでは登る。一歩は勾配と逆向きである。",
              "記事の二つ目の記法は全例の和で、確率的ではない。クラスは存在しない params.key() を呼んでいる。",
              "Nesterov のコードは先を見た点を持つ。そこからさらに先を見ると二重に数えることになる。"),
)
