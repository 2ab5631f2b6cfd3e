r"""AdaSecant (Gulcehre and Bengio 2014, arXiv:1412.7419; Gulcehre et al. 2017, arXiv:1703.00788): rates from secants.

How much a gradient changed, per how far the weight had moved, is the curvature; no rate has to be given. In each block
(weight tensor) g = g / |g| first; then entry by entry, with D the step before, a = g - g' the change that followed it,
and E the mean over a memory of tau steps, E = E + (x - E) / tau,

    m = rho m + (1 - rho) g,   y = sqrt(E[((g - c')(c' - m))^2]) / sqrt(E[((g - m)(c' - m))^2])          (1)
    c = (g + y m) / (1 + y),   y at most 1.8                                                             (2)
    r = sqrt(E[D^2] + eps) / sqrt(E[a^2] + eps) - (E[a D] - E[a] E[D]) / (E[a^2] + eps)                  (3)
    w = w - lr r c                                                                                       (4)
    tau = (1 - E[D]^2 / E[D^2]) tau + 1, or 2.2 for an outlier, within [1.5, 1e8]                        (5)

An outlier is a g or an a further than two standard deviations from its mean. Without noise a = lambda D in every entry
of a diagonal quadratic, and the surprise is that (3) is Newton's rate, 1/lambda, at the second step already; noise
enlarges a and its covariance with D, and so lowers the rate by itself. r is never negative (Cauchy and Schwarz).
"""

from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractStep
from shinso.optim._walk import walk, weights


@final
class AdaSecant(AbstractStep, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """AdaSecant of 2017; lr is 1 and stands there for schedulers. state[w]["rate"] is (3) at the last step."""

    def __init__(self, params: Any, lr: float | Tensor = 1.0, *, decay: float = 0.95, eps: float = 1e-6,
                 normalise: bool = True, reduce: bool = True):
        """`decay` is rho, `reduce` the variance reduction (1) and (2), `normalise` the division of a block by |g|."""
        check_rate(lr)
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"Invalid decay value: {decay}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        super().__init__(params, {"lr": lr, "decay": decay, "eps": eps, "normalise": normalise, "reduce": reduce})

    def _update(self) -> None:
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    _move(w, w.grad, group, self.state[w])


_MEANS = ("delta", "delta_sq", "change", "change_sq", "product")


def _move(w: Tensor, g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
    """One step; `state` holds what lasts. The first step has no secant: its rate is 1, its memory 2.2 steps."""
    if g.is_sparse or w.is_complex():
        raise RuntimeError("AdaSecant does not support sparse gradients, nor complex parameters")
    g = g / (g.norm() + 1e-7) if group["normalise"] else g.clone()
    if "rate" not in state:
        state.update(mean=g.clone(), square=g * g, tau=torch.full_like(w, 2.2), rate=torch.ones_like(w),
                     numerator=torch.zeros_like(w), denominator=torch.zeros_like(w), corrected=g)
    else:
        _learn(g, group, state)
    state["moved"] = -float(group["lr"]) * state["rate"] * state["corrected"]
    state["gradient"] = g
    w.add_(state["moved"])  # (4)


def _learn(g: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
    """(1), (2), (3) and (5). The first secant is taken whole, the later ones by 1/tau."""
    rho, eps, tau = group["decay"], group["eps"], state["tau"]
    m = state["mean"].lerp_(g, 1 - rho)
    q = state["square"].lerp_(g * g, 1 - rho)
    D, a = state["moved"], g - state["gradient"]
    for name, x in zip(_MEANS, (D, D * D, a, a * a, a * D), strict=True):
        state[name] = state[name] + (x - state[name]) / tau if name in state else x
    before = state["corrected"]
    state["corrected"] = g
    if group["reduce"]:
        for name, x in (("numerator", (g - before) * (before - m)), ("denominator", (m - g) * (before - m))):
            state[name] = state[name] + (x * x - state[name]) / tau
        y = (state["numerator"].sqrt() / (state["denominator"].sqrt() + 1e-7)).clamp_max(1.8)
        state["corrected"] = (g + y * m) / (1 + y)
    ED, ED2, Ea, Ea2, EaD = (state[name] for name in _MEANS)
    state["rate"] = ((ED2 + eps) / (Ea2 + eps)).sqrt() - (EaD - Ea * ED) / (Ea2 + eps)
    steady = torch.where(ED2 > 0, ED * ED / ED2, 1.0)
    outlier = (g - m).abs() > 2 * (q - m * m).clamp_min(0).sqrt()
    outlier |= (a - Ea).abs() > 2 * (Ea2 - Ea * Ea).clamp_min(0).sqrt()
    state["tau"] = torch.where(outlier, 2.2, (1 - steady) * tau + 1).clamp(1.5, 1e8)


def the_second_rate_is_newtons() -> Check:
    """On a diagonal quadratic of curvatures 0.01 to 100, without noise, rate times curvature is 1 to 1e-12 at step 2.

    Source: equation (3), a = lambda D; Gulcehre et al. 2017: the secant approximation of the diagonal Hessian
    """
    curvature, optimiser = _bowl()
    walk(optimiser, lambda w: curvature * w, 2)
    (state,) = optimiser.state.values()
    return at_most(float((state["rate"] * curvature - 1).abs().max()), 1e-12)


def two_steps_reach_the_minimum() -> Check:
    """The same quadratic of condition number 10,000, from 1 everywhere: after 2 steps the largest |w| is at most 1e-12.

    Source: a Newton step on a quadratic ends at its minimum
    """
    curvature, optimiser = _bowl()
    return at_most(float(walk(optimiser, lambda w: curvature * w, 2)[-1].abs().max()), 1e-12)


def no_rate_has_to_be_tuned() -> Check:
    """(w1^2 + 100 w2^2)/2 times 1e-3, 1 and 1e3: the defaults end within 1e-2 of the minimum in 500 steps each.

    Source: Gulcehre et al. 2017: the learning rate is found from the gradients
    """
    curvature, worst = weights([1.0, 100.0]).detach(), 0.0
    for scale in (1e-3, 1.0, 1e3):
        end = walk(AdaSecant([weights([1.0, 1.0])]), lambda w, scale=scale: scale * curvature * w, 500)[-1]
        worst = max(worst, float(end.abs().max()))
    return at_most(worst, 1e-2)


def noise_lowers_the_rate_by_itself() -> Check:
    """Under noise of 0.1, curvatures 1 to 10: after 2000 steps no rate is above half of Newton's.

    Source: equation (3): noise enlarges E[a^2], and its covariance with D is taken off
    """
    curvature, optimiser = _noisy()
    (state,) = optimiser.state.values()
    return at_most(float((state["rate"] * curvature).max()), 0.5)


def no_rate_is_negative() -> Check:
    """In that noise the smallest of 500 rates after 2000 steps is not below 0.

    Source: Cauchy and Schwarz: the covariance is at most sqrt(E[D^2] E[a^2])
    """
    (state,) = _noisy()[1].state.values()
    return at_least(float(state["rate"].min()), 0.0)


def _bowl() -> tuple[Tensor, AdaSecant]:
    """Curvatures, and the method without what is there for noise."""
    curvature = torch.logspace(-2, 2, 6, dtype=torch.float64)
    return curvature, AdaSecant([weights([1.0] * 6)], eps=1e-30, normalise=False, reduce=False)


def _noisy() -> tuple[Tensor, AdaSecant]:
    draw, curvature = generator(0, "noise"), torch.linspace(1, 10, 500, dtype=torch.float64)
    optimiser = AdaSecant([weights([1.0] * 500)], normalise=False)
    walk(optimiser, lambda w: curvature * w + 0.1 * torch.randn(500, generator=draw).to(w), 2000)
    return curvature, optimiser


CARD = Card(
    name="AdaSecant",
    name_ja="AdaSecant",
    paper="Gulcehre and Bengio 2014, arXiv:1412.7419; Gulcehre et al. 2017, arXiv:1703.00788",
    equations=(
        r"m = \rho m + (1-\rho)\,g,\quad"
        r" \gamma = \sqrt{E[((g - c')(c' - m))^2]}\,/\,\sqrt{E[((g - m)(c' - m))^2]}",
        r"c = (g + \gamma m)/(1 + \gamma),\quad \gamma \leq 1.8",
        r"r = \frac{\sqrt{E[\Delta^2] + \varepsilon}}{\sqrt{E[a^2] + \varepsilon}}"
        r" - \frac{E[a\Delta] - E[a]\,E[\Delta]}{E[a^2] + \varepsilon}",
        r"w = w - \eta\,r\,c",
        r"\tau = (1 - E[\Delta]^2/E[\Delta^2])\,\tau + 1",
    ),
    summary="Takes the rate of every entry from how its gradient changed along its last steps: nothing to tune.",
    summary_ja="直前の移動に対する勾配の変化 (割線) から成分ごとの学習率を求める。調整する学習率がない。",
    topics=("optim.adasecant",),
    facts=(the_second_rate_is_newtons, two_steps_reach_the_minimum, no_rate_has_to_be_tuned,
           noise_lowers_the_rate_by_itself, no_rate_is_negative),
    notes=("The preprint of 2014 and the paper of 2017 share the idea, not every constant; eps inside the roots, 1.8, "
           "1.5 and 2.2 are those of the authors' code.",
           "Here a is paired with the step that caused it and the covariance is centred; with E[aD] alone the rate on "
           "a quadratic without noise would be 0. The authors' code pairs a with the step that follows it.",
           "The means begin with the first secant; the authors' code begins them with 1e-7."),
    notes_ja=("2014年の原稿と2017年の論文は考え方が同じで、定数は違う。根号の中の eps と 1.8、1.5、2.2 は"
              "著者のコードの値である。",
              "ここでは a をそれを生んだ一歩と組にし、共分散は平均を引く。E[aD] だけを引くと、雑音のない二次関数では"
              "学習率が 0 になる。著者のコードは a を次の一歩と組にする。",
              "平均は最初の割線から始める。著者のコードは 1e-7 から始める。"),
)
