r"""Gradient Langevin dynamics: descent that is kept warm (Langevin 1908; Xu, Chen, Zou and Gu 2018, arXiv:1707.06618).

    w = w - lr grad F(w) + sqrt(2 lr / beta) xi,   xi ~ N(0, I)                                          (1)

is one Euler step of the diffusion dW = -grad F dt + sqrt(2 / beta) dB, whose law tends to exp(-beta F): at beta = inf
(1) is gradient descent, and the smaller beta, the further it wanders. The surprise: the chain (1) does not have the law
of its diffusion. On F = lambda w^2 / 2 it is w = (1 - lr lambda) w + noise, and equal variances before and after give

    Var w = 1 / (beta lambda (1 - lr lambda / 2)),   if and only if 0 < lr lambda < 2                    (2)

which is Gibbs' 1 / (beta lambda) only as lr tends to 0. The inverse of (2) is a straight line in lr.
"""

import math
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractStep
from shinso.optim._noise import gaussian, refuse
from shinso.optim._walk import walk, weights


@final
class GLD(AbstractStep, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*)
    """Langevin dynamics by Euler's scheme. The noise of a step follows from seed, weight and step."""

    def __init__(self, params: Any, lr: float | Tensor = 1e-3, *, beta: float = 1e4, maximize: bool = False,
                 seed: int = 0):
        """`beta` is the inverse temperature of the loss as it is given; inf is gradient descent."""
        check_rate(lr)
        if not 0.0 < beta:
            raise ValueError(f"Invalid beta value: {beta}")
        super().__init__(params, {"lr": lr, "beta": beta, "maximize": maximize, "seed": seed})

    def _update(self) -> None:
        place = 0
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._move(w, w.grad.detach(), group, place)
                place += 1

    def _move(self, w: Tensor, g: Tensor, group: dict[str, Any], place: int) -> None:
        refuse(w, g, "GLD")
        state, lr = self.state[w], float(group["lr"])
        state["step"] = state.get("step", 0) + 1
        noise = gaussian(w, group["seed"], f"langevin/{place}/{state['step']}")
        w.add_(g, alpha=lr if group["maximize"] else -lr).add_(noise, alpha=math.sqrt(2 * lr / group["beta"]))  # (1)


def _variance(lr: float, chains: int, *, steps: int, kept: int, apart: int, curvature: float = 2.0) -> float:
    """Mean of w^2 over `kept` looks, `apart` steps from one another, at chains that began at 0; beta is 4."""
    optimiser = GLD([weights(torch.zeros(chains))], lr=lr, beta=4.0)
    walk(optimiser, lambda w: curvature * w, steps)
    looks = [walk(optimiser, lambda w: curvature * w, apart)[-1].square().mean() for _ in range(kept)]
    return float(torch.stack(looks).mean())


def the_chain_has_its_own_variance() -> Check:
    """lr 0.3, lambda 2, beta 4: the variance of 400,000 samples is that of (2), 0.17857, within 4 standard errors.

    Source: equation (2); a standard error is sqrt(2 / 400,000) of the variance
    """
    expected = 1 / (4 * 2 * (1 - 0.3 * 2 / 2))
    found = _variance(0.3, 20_000, steps=30, kept=20, apart=8)
    return about(found, expected, 4 * expected * (2 / 400_000) ** 0.5)


def it_is_not_that_of_gibbs() -> Check:
    """The trap: those samples are at least 1.4 times as wide as exp(-beta F), whose variance is 0.125.

    Source: equation (2): 1 / (1 - 0.3) times
    """
    return at_least(_variance(0.3, 20_000, steps=30, kept=20, apart=8) * 4 * 2, 1.4)


def its_inverse_is_a_line_that_ends_at_gibbs() -> Check:
    """The line through 1 / variance at lr 0.1 to 0.8 meets lr = 0 at beta lambda = 8, within 2 percent.

    Source: the inverse of (2) is beta lambda - beta lambda^2 lr / 2
    """
    rates = [0.1, 0.2, 0.4, 0.6, 0.8]
    inverse = [1 / _variance(lr, 20_000, steps=60, kept=8, apart=10) for lr in rates]
    line = torch.linalg.lstsq(torch.tensor([[1.0, lr] for lr in rates]), torch.tensor(inverse)[:, None]).solution
    return about(float(line[0, 0]), 8.0, 0.16)


def beyond_the_edge_nothing_is_stationary() -> Check:
    """At lr lambda = 2.1 the variance after 200 steps is at least a million.

    Source: equation (2): each step multiplies the variance by 1.1^2
    """
    return at_least(_variance(1.05, 1000, steps=199, kept=1, apart=1), 1e6)


def without_temperature_it_is_gradient_descent() -> Check:
    """At beta = inf, 100 steps on three curvatures differ from torch's SGD by 0.

    Source: equation (1)
    """
    scale = weights([1.0, 3.0, 100.0]).detach()
    ours = walk(GLD([weights([1.0, -2.0, 0.5])], lr=0.01, beta=math.inf), lambda w: scale * w, 100)
    theirs = walk(torch.optim.SGD([weights([1.0, -2.0, 0.5])], lr=0.01), lambda w: scale * w, 100)
    return exactly(float((ours - theirs).abs().max()), 0.0)


def a_step_smears_as_a_diffusion() -> Check:
    """On flat ground, 100 steps of lr 0.01 at beta 4 spread 40,000 chains to 2 t / beta = 0.5 in 4 standard errors.

    Source: Einstein 1905; (1) without a gradient. A noise of lr sqrt(2 / beta), a slip, would give 0.005
    """
    found = _variance(0.01, 40_000, steps=99, kept=1, apart=1, curvature=0.0)
    return at_most(abs(found / 0.5 - 1) / (2 / 40_000) ** 0.5, 4.0)


CARD = Card(
    name="Gradient Langevin dynamics",
    name_ja="勾配ランジュバン動力学 (GLD)",
    paper="Langevin 1908; Xu, Chen, Zou and Gu 2018, arXiv:1707.06618",
    equations=(
        r"w = w - \eta\,\nabla F(w) + \sqrt{2\eta/\beta}\;\xi,\quad \xi \sim N(0, I)",
        r"\mathrm{Var}\,w = \frac{1}{\beta\lambda\,(1 - \eta\lambda/2)},\quad 0 < \eta\lambda < 2",
    ),
    summary="Gradient descent kept warm by noise: it samples nearly exp(-beta F), and how nearly is known.",
    summary_ja="雑音で温められた勾配降下。ほぼ exp(-βF) からのサンプリングになり、そのずれも正確に分かる。",
    topics=("optim.gld",),
    facts=(the_chain_has_its_own_variance, it_is_not_that_of_gibbs, its_inverse_is_a_line_that_ends_at_gibbs,
           beyond_the_edge_nothing_is_stationary, without_temperature_it_is_gradient_descent,
           a_step_smears_as_a_diffusion),
    notes=("The lecture gives exp(-beta F) as the stationary law: it is that of the diffusion. The chain is wider by "
           "the factor in (2), so a test against exp(-beta F) without it fails.",
           "beta belongs to the loss as it is given: for a mean over N examples, beta = N samples the posterior."),
    notes_ja=("講義は定常分布を exp(-βF) とするが、それは連続時間の拡散の話である。離散の連鎖は式 (2) の倍率だけ広く、"
              "倍率なしに exp(-βF) と比べると合わない。",
              "β は与えられた損失に対するものである。N 例の平均を損失とするなら、β = N で事後分布に従う。"),
)
