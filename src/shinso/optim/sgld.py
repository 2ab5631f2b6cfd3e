r"""SGLD, stochastic gradient Langevin dynamics (Welling and Teh 2011, proceedings of ICML 28).

Langevin dynamics with the gradient of a mini-batch. Two scales go by this name. With g the gradient of a loss that is a
mean over examples, and lr_t = lr (1 + t / b)^-gamma for the t-th step, counted from 0,

    temperature:  w = w - lr_t (g + prior w) + sqrt(2 lr_t / beta) xi                                    (1)
    posterior:    w = w - lr_t / 2 (N g + prior w) + sqrt(lr_t / beta) xi                                (2)

(1) is the form of the theory, at the temperature 1 / beta. (2), chosen by examples=N, is that of the paper, its lr_t
being the paper's epsilon_t: N g estimates the gradient of the whole sum, prior is the precision of a normal prior, and
at beta = 1 it samples the posterior. They are one: (2) is (1) with lr N / 2, prior / N and beta N for lr, prior and
beta. The surprise: no step is ever rejected. The noise of the mini-batch is of order lr_t^2, that of xi of order lr_t,
so the second drowns the first as lr_t falls; steps must fall slowly enough to go anywhere,

    sum lr_t = inf,   sum lr_t^2 < inf                                                                   (3)

and averages over the walk weigh each place with its lr_t.
"""

import math
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._lean import AbstractStep
from shinso.optim._noise import gaussian, refuse
from shinso.optim._walk import walk, weights
from shinso.optim.gld import GLD


@final
class SGLD(AbstractStep, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride] - zero_grad(*)
    """Langevin dynamics with mini-batches, in the scale (1) or, with `examples`, (2); GLD's noise for GLD's seed."""

    def __init__(self, params: Any, lr: float | Tensor = 1e-5, *, examples: int | None = None,
                 beta: float | None = None, prior: float = 0.0, schedule: tuple[float, float] = (1.0, 0.0),
                 maximize: bool = False, seed: int = 0):
        """`schedule` is (b, gamma); `beta` is 1 in the scale (2) and 10000 in (1) unless given.

        With a loss that is a mean over the examples, N is how many there are in all, not in the mini-batch.
        """
        check_rate(lr)
        if not (examples is None or 1 <= examples):
            raise ValueError(f"Invalid examples value: {examples}")
        if not (beta is None or 0.0 < beta):
            raise ValueError(f"Invalid beta value: {beta}")
        if not 0.0 <= prior:
            raise ValueError(f"Invalid prior value: {prior}")
        if not (0.0 < schedule[0] and 0.0 <= schedule[1]):
            raise ValueError(f"Invalid schedule: {schedule}")
        super().__init__(params, {"lr": lr, "examples": examples, "beta": beta, "prior": prior, "schedule": schedule,
                                  "maximize": maximize, "seed": seed})

    def _update(self) -> None:
        place = 0
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._move(w, w.grad.detach(), group, place)
                place += 1

    def _move(self, w: Tensor, g: Tensor, group: dict[str, Any], place: int) -> None:
        refuse(w, g, "SGLD")
        state, (b, gamma), examples = self.state[w], group["schedule"], group["examples"]
        lr = float(group["lr"]) * (1 + state.get("step", 0) / b) ** -gamma
        beta = (1e4 if examples is None else 1.0) if group["beta"] is None else group["beta"]
        rate, scale = (lr, 1.0) if examples is None else (lr / 2, float(examples))  # (1) or (2)
        state["step"] = state.get("step", 0) + 1
        noise = gaussian(w, group["seed"], f"langevin/{place}/{state['step']}")
        w.mul_(1 - rate * group["prior"]).add_(g, alpha=rate * scale if group["maximize"] else -rate * scale)
        w.add_(noise, alpha=math.sqrt(2 * rate / beta))


PRECISION = 4.0
"""of the prior for the mean of 100 numbers with variance 1"""


def _posterior(examples: int | None) -> tuple[Tensor, Tensor, float]:
    """(places, their weights, posterior mean) of 400 chains of 2500 steps; each has mini-batches of 10 of its own."""
    x = 1 + torch.randn(100, generator=generator(0, "data"), dtype=torch.float64)
    draw = generator(0, "batches")
    optimiser = SGLD([weights(torch.zeros(400))], lr=4e-4, examples=examples, beta=1.0,
                     prior=PRECISION if examples else 0.0, schedule=(50.0, 0.55))
    places = walk(optimiser, lambda w: w - x[torch.randint(100, (400, 10), generator=draw)].mean(1), 2500)[501:]
    rates = (1 + torch.arange(500, 2500, dtype=torch.float64) / 50) ** -0.55
    return places, rates[:, None] / rates.sum(), float(x.sum() / (100 + PRECISION))


def the_posterior_of_a_mean_has_its_mean() -> Check:
    """Falling steps, 100 numbers in batches of 10, a normal prior: the mean is the conjugate one within 5 percent.

    Source: Welling and Teh 2011, equations 4 and 11; sum x / (100 + 4)
    """
    places, share, expected = _posterior(100)
    return about(float((share * places).sum(0).mean()) / expected, 1.0, 0.05)


def and_its_variance() -> Check:
    """And its variance is 1 / (100 + 4), the conjugate one, within 5 percent.

    Source: Welling and Teh 2011, equations 4 and 11
    """
    places, share, expected = _posterior(100)
    return about(float((share * (places - expected).square()).sum(0).mean()) * (100 + PRECISION), 1.0, 0.05)


def a_mean_gradient_alone_is_no_posterior() -> Check:
    """The trap: the same steps in the scale (1) at beta = 1 miss that mean by at least half of it.

    Source: the drift is 50 times too weak, and the law aimed at 100 times too wide
    """
    places, share, expected = _posterior(None)
    return at_least(abs(float((share * places).sum(0).mean()) / expected - 1), 0.5)


def the_whole_batch_is_langevin_dynamics() -> Check:
    """With all 50 examples in the batch and the same noise, 300 steps differ from GLD by at most 1e-12.

    Source: equation (1) with prior 0
    """
    return at_most(_apart(SGLD([weights([1.0, -2.0, 0.5])], lr=0.05, beta=3.0)), 1e-12)


def the_two_scales_are_one() -> Check:
    """So do 300 steps of the scale (2) with lr 2 * 0.05 / 50 and beta 3 / 50.

    Source: equations (1) and (2)
    """
    return at_most(_apart(SGLD([weights([1.0, -2.0, 0.5])], lr=2 * 0.05 / 50, examples=50, beta=3.0 / 50)), 1e-12)


def _apart(optimiser: SGLD) -> float:
    """How far it parts from GLD at lr 0.05 and beta 3 on the mean of 50 quadratic losses."""
    centres = torch.randn(50, 3, generator=generator(0, "centres"), dtype=torch.float64)
    one = walk(optimiser, lambda w: (w - centres).mean(0), 300)
    other = walk(GLD([weights([1.0, -2.0, 0.5])], lr=0.05, beta=3.0), lambda w: (w - centres).mean(0), 300)
    return float((one - other).abs().max())


def a_double_well_is_sampled() -> Check:
    """(w^2 - 1)^2 as a mean of 20 tilted wells, batches of 5: total variation to exp(-2 F) on 50 bins is under 0.03.

    Source: Welling and Teh 2011, section 4; 2500 chains, looked at 100 times, all begun in one well
    """
    edges = torch.linspace(-2, 2, 51, dtype=torch.float64)
    grid = torch.linspace(-2, 2, 5001, dtype=torch.float64)
    law = torch.exp(-2 * (grid.square() - 1).square())
    inside = torch.stack([piece[:100].sum() + piece[1:].sum() for piece in law.unfold(0, 101, 100)])
    found = torch.histogram(_double_well(), bins=edges).hist
    return at_most(float((found / found.sum() - inside / inside.sum()).abs().sum()) / 2, 0.03)


def _double_well() -> Tensor:
    tilts = torch.randn(20, generator=generator(0, "tilts"), dtype=torch.float64)
    tilts, draw = tilts - tilts.mean(), generator(0, "wells")
    optimiser = SGLD([weights(torch.ones(2500))], lr=0.015, beta=2.0)

    def gradient(w: Tensor) -> Tensor:
        return 4 * w * (w * w - 1) + tilts[torch.randint(20, (2500, 5), generator=draw)].mean(1)

    walk(optimiser, gradient, 1500)
    return torch.cat([walk(optimiser, gradient, 10)[-1] for _ in range(100)])


CARD = Card(
    name="Stochastic gradient Langevin dynamics",
    name_ja="確率的勾配ランジュバン動力学 (SGLD)",
    paper="Welling and Teh 2011, Bayesian learning via stochastic gradient Langevin dynamics, ICML 28",
    equations=(
        r"w = w - \eta_t\,(g + \tau w) + \sqrt{2\eta_t/\beta}\;\xi",
        r"w = w - \frac{\eta_t}{2}\,(N g + \tau w) + \sqrt{\eta_t/\beta}\;\xi",
        r"\sum_t \eta_t = \infty,\quad \sum_t \eta_t^2 < \infty",
    ),
    summary="Langevin dynamics from mini-batches: it samples a posterior without ever looking at all the data.",
    summary_ja="ミニバッチによるランジュバン動力学。全データを一度も見ずに事後分布からのサンプリングができる。",
    topics=("optim.sgld",),
    facts=(the_posterior_of_a_mean_has_its_mean, and_its_variance, a_mean_gradient_alone_is_no_posterior,
           the_whole_batch_is_langevin_dynamics, the_two_scales_are_one, a_double_well_is_sampled),
    notes=("The lecture has the mean gradient with a temperature, (1), the paper the sum with a prior, (2): the same "
           "numbers for lr and beta mean different things.",
           "The lecture calls the number of steps polynomial for SGLD: it is polynomial in 1 / epsilon, and "
           "exponential in the dimension as that of GLD is, through the spectral gap.",
           "At a constant rate the law is too wide, by the step (as GLD) and by the noise of the mini-batch."),
    notes_ja=("講義は温度つきの平均勾配の式 (1)、論文は事前分布つきの和の式 (2) である。同じ lr や β でも意味が違う。",
              "講義は SGLD の反復回数を多項式とする。1/ε については多項式だが、GLD と同じくスペクトルギャップを通じて"
              "次元について指数的である。",
              "刻みが一定だと分布は広すぎる。GLD と同じ刻みの分に、ミニバッチの雑音の分が加わる。"),
)
