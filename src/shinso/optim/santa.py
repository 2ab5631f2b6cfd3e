r"""Santa, "stochastic annealing thermostats with adaptive momentum" (Chen et al. 2016, arXiv:1512.07962v3).

With f~ = N g the gradient of the whole sum over N examples, estimated from a mean gradient g,

    v = s v + (1 - s) g^2,   p = 1 / sqrt(lambda + sqrt(v)),   T_t = lr / (A t^gamma)                    (1)
    exploration, t < burn-in:   a = a + u^2 - T_t,   u = (1 - a) u - lr p f~ + sqrt(2 T_t p') zeta       (2)
    refinement, from then on:   a stays,             u = (1 - a) u - lr p f~                             (3)
    w = w + p u                                                                                          (4)

Algorithm 1 of the paper (Euler); p' is p of the step before, zeta is standard normal, u = sqrt(lr) zeta and
a = sqrt(lr) C at first. (2) samples exp(-A t^gamma U(w)): a is a thermostat that grows while u^2 is above T_t (5), so
that nobody has to know how noisy the gradient is. The surprise: one formula is a sampler while T_t > 0 and an optimiser
with a momentum of its own for every entry once it is 0. The paper adds T_t (1 - p'/p) / u to (2), for a p that changes
with w; its tails are those of 1/u, and it is left out unless drift=True.
"""

import copy
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, exactly
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractStep
from shinso.optim._walk import walk, weights


@final
class Santa(AbstractStep, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*)
    """Santa by Euler's scheme. The noise of a step follows from seed, weight and step; no generator is saved."""

    def __init__(self, params: Any, lr: float | Tensor = 1e-3, *, schedule: tuple[float, float, int] = (1.0, 0.5, 1000),
                 preconditioner: tuple[float, float] = (0.99, 1e-8), friction: float = 5.0, examples: int = 1,
                 drift: bool = False, seed: int = 0):
        """`schedule` is (A, gamma, burn-in), `preconditioner` (s, lambda), `friction` C, `examples` N.

        With a loss that is a mean over the examples, N is how many there are in all, not in the mini-batch.
        """
        check_rate(lr)
        if not (0.0 < schedule[0] and 0.0 <= schedule[1] and 0 <= schedule[2]):
            raise ValueError(f"Invalid schedule: {schedule}")
        if not (0.0 <= preconditioner[0] < 1.0 and 0.0 < preconditioner[1]):
            raise ValueError(f"Invalid preconditioner: {preconditioner}")
        if not 0.0 <= friction:
            raise ValueError(f"Invalid friction value: {friction}")
        if not 1 <= examples:
            raise ValueError(f"Invalid examples value: {examples}")
        super().__init__(params, {"lr": lr, "schedule": schedule, "preconditioner": preconditioner,
                                  "friction": friction, "examples": examples, "drift": drift, "seed": seed})

    def _update(self) -> None:
        place = 0
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._move(w, group, f"santa/{place}")
                place += 1

    def _move(self, w: Tensor, group: dict[str, Any], stream: str) -> None:
        g = w.grad
        if g is None or g.is_sparse or w.is_complex():
            raise RuntimeError("Santa does not support sparse gradients, nor complex parameters")
        lr, (s, eps), state = float(group["lr"]), group["preconditioner"], self.state[w]
        scale, power, burn_in = group["schedule"]
        if "velocity" not in state:
            state.update(step=torch.zeros(()), square_avg=torch.zeros_like(w), velocity=_noise(w, group, stream, 0),
                         friction=torch.full_like(w, lr**0.5 * group["friction"]))
            state["velocity"].mul_(lr**0.5)
        state["step"] += 1
        t, u, a = int(state["step"]), state["velocity"], state["friction"]
        v = state["square_avg"].mul_(s).addcmul_(g, g, value=1 - s)
        p = (eps + v.sqrt()).rsqrt()  # (1)
        push = (-lr * group["examples"]) * p * g
        if t < burn_in:
            heat = lr / (scale * t**power)
            before = state.get("scale", p)
            push += (2 * heat * before).sqrt() * _noise(w, group, stream, t)
            if group["drift"]:
                push += torch.where(u == 0, 0.0, heat * (1 - before / p) / u)
            a.addcmul_(u, u).sub_(heat)  # (2)
        state["scale"] = p
        u.mul_(1 - a).add_(push)
        w.addcmul_(p, u)  # (4)


def _noise(w: Tensor, group: dict[str, Any], stream: str, t: int) -> Tensor:
    draw = generator(group["seed"], f"{stream}/{t}", str(w.device))
    return torch.empty_like(w).copy_(torch.randn(w.shape, generator=draw, dtype=w.dtype, device=w.device))


def a_gaussian_has_its_variance() -> Check:
    """At fixed temperature, 1000 chains on N k w^2/2 with N = k = 500: variance times N k is 1 within 5 percent.

    Source: Chen et al. 2016: at fixed temperature it is a sampler; steps 1000 to 2000 count
    """
    return about(float(_gaussian(examples=500)[1000:].square().mean()) * 500 * 500, 1.0, 0.05)


def the_thermostat_holds_its_temperature() -> Check:
    """In those chains the mean of u^2 divided by lr is 1 within 2 percent, although nothing was told of the noise.

    Source: equation (5): a stands still on average only if u^2 does at T_t
    """
    moves = _gaussian(examples=500)[1000:].diff(dim=0)  # p u, where p is nearly constant: sqrt(v) is about 1
    u = moves * (2500 + 500 * 0.002) ** 0.5
    return about(float(u.square().mean()) / 1e-4, 1.0, 0.02)


def a_mean_gradient_must_be_scaled_to_the_sum() -> Check:
    """The trap: with N left at 1 for mean gradients, the variance is at least 10 times too wide.

    Source: Chen et al. 2016: U is the sum over all examples
    """
    return at_least(float(_gaussian(examples=1)[1000:].square().mean()) * 500 * 500, 10.0)


def after_the_burn_in_nothing_is_drawn() -> Check:
    """From one state at step 50, the burn-in, 100 steps under two seeds are the same: difference 0.

    Source: Chen et al. 2016, Algorithm 1: refinement
    """
    first = Santa([weights([1.0, -2.0])], lr=0.01, schedule=(1.0, 0.5, 50), preconditioner=(0.99, 10.0))
    walk(first, lambda w: w, 49)
    (w,) = first.param_groups[0]["params"]
    second = Santa([weights(w.detach())], lr=0.01)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.param_groups[0]["seed"] = 1
    return exactly(float((walk(first, lambda w: w, 100) - walk(second, lambda w: w, 100)).abs().max()), 0.0)


def the_deeper_well_is_found_more_often() -> Check:
    """(x^2 - 1)^2 + 0.3 x from 200 places: at least 1.3 times as many end in the deeper well as with SGD and momentum.

    Source: Chen et al. 2016: annealing leaves the wells in which descent begins
    """
    start, ends = torch.linspace(-1.5, 1.5, 200, dtype=torch.float64), []
    for rule in (
        Santa([weights(start)], lr=0.04, schedule=(0.5, 0.25, 3500), preconditioner=(0.99, 10.0), friction=1.5),
        torch.optim.SGD([weights(start)], lr=0.01, momentum=0.9),
    ):
        ends.append(float((walk(rule, lambda x: 4 * x * (x * x - 1) + 0.3, 4000)[-1] < 0).sum()))
    return at_least(ends[0] / ends[1], 1.3)


def friction_that_froze_below_zero_diverges() -> Check:
    """The trap: a thermostat that stands at -0.1 when refinement begins makes |w| exceed 1000 within 200 steps.

    Source: equation (3) with |1 - a| > 1; the paper does not bound a
    """
    optimiser = Santa([weights([1.0])], lr=0.01, schedule=(1.0, 0.5, 0), preconditioner=(0.99, 10.0))
    walk(optimiser, lambda w: w, 1)
    (w,) = optimiser.param_groups[0]["params"]
    optimiser.state[w]["friction"].fill_(-0.1)
    return at_least(float(walk(optimiser, lambda w: w, 200).abs().max()), 1000.0)


def _gaussian(examples: int) -> Tensor:
    """2000 steps of 1000 chains under the mean gradient 500 w, A = 1 and gamma = 0."""
    optimiser = Santa([weights([0.0] * 1000)], lr=1e-4, schedule=(1.0, 0.0, 10**9), preconditioner=(0.999, 2500.0),
                      friction=2.0, examples=examples)
    return walk(optimiser, lambda w: 500 * w, 2000)


CARD = Card(
    name="Santa",
    name_ja="Santa (温度を下げる確率的勾配法)",
    paper="Chen, Carlson, Gan, Li and Carin 2016, arXiv:1512.07962v3",
    equations=(
        r"v = \sigma v + (1-\sigma)\,g^2,\quad p = 1/\sqrt{\lambda + \sqrt{v}},\quad T_t = \eta/(A\,t^\gamma)",
        r"a = a + u^2 - T_t,\quad u = (1-a)\,u - \eta\,p\,\tilde f + \sqrt{2\,T_t\,p'}\,\zeta",
        r"u = (1-a)\,u - \eta\,p\,\tilde f",
        r"w = w + p\,u",
        r"E[u^2] = T_t",
    ),
    summary="Samples with a thermostat while the temperature falls, then descends with a momentum for each entry.",
    summary_ja="温度を下げながら温度調節つきのサンプリングを行い、その後は成分ごとの慣性で降下する。",
    topics=("optim.santa",),
    facts=(a_gaussian_has_its_variance, the_thermostat_holds_its_temperature,
           a_mean_gradient_must_be_scaled_to_the_sum, after_the_burn_in_nothing_is_drawn,
           the_deeper_well_is_found_more_often, friction_that_froze_below_zero_diverges),
    notes=("This is the Euler scheme; the splitting scheme of the paper's Algorithm 2 is not here.",
           "The paper does not say what p' is at the first step; here it is p.",
           "Gradients of a mini-batch mean must be scaled to the sum over all examples: that is what `examples` does.",
           "The friction freezes where it is when refinement begins; if that is below 0, (3) diverges."),
    notes_ja=("ここにあるのは Euler 法で、論文の Algorithm 2 (分割法) はない。",
              "最初の一歩の p' は論文に書かれていない。ここでは p とする。",
              "ミニバッチ平均の勾配は全例の和に合わせて拡大しなければならない。そのための引数が examples である。",
              "摩擦は精密化の開始時の値で止まる。それが 0 より小さいと式 (3) は発散する。"),
)
