r"""AdaMax: Adam with the largest gradient of late in the place of their root mean square (Kingma and Ba 2015).

    m = b1 m + (1 - b1) g,   u = max(b2 u, |g| + eps),   w = w - lr / (1 - b1^t) m / u                   (1)
"""

from typing import Any, final

import torch

from shinso.core.card import Card, Check, at_most
from shinso.kernels.elementwise import absolute, maximum
from shinso.optim._elementwise import AbstractTwin, Group
from shinso.optim._walk import walk, weights


@final
class Adamax(AbstractTwin, torch.optim.Adamax):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.Adamax."""

    TWIN = torch.optim.Adamax
    STATE = ("exp_avg", "exp_inf")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1)"""
        m, u = s
        b1, c1, b2, rate, eps = h
        m = b1 * m + c1 * g
        u = maximum(b2 * u, absolute(g) + eps)
        return w - rate * m / u, (m, u)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        b1, b2 = group["betas"]
        return b1, 1 - b1, b2, group["lr"] / (1 - b1**step), group["eps"]


def the_first_step_is_the_rate() -> Check:
    """Under gradients 1e-3, 0.3 and -200 the first step is -lr g / (|g| + eps), to 1e-16.

    Source: Kingma and Ba 2015, section 7.1, with torch's eps inside of the maximum
    """
    g = torch.tensor([1e-3, 0.3, -200.0], dtype=torch.float64)
    step = walk(Adamax([weights([0.0, 0.0, 0.0])]), lambda w: g, 1)[1]
    return at_most(float((step + 0.002 * g / (g.abs() + 1e-8)).abs().max()), 1e-16)


def no_step_is_longer_than_the_rate() -> Check:
    """Over 500 steps of sparse and heavy-tailed gradients no step is longer than lr: the longest by lr.

    Source: Kingma and Ba 2015, section 7.1
    """
    draw = torch.Generator().manual_seed(0)
    slopes = torch.randn(500, 20, generator=draw, dtype=torch.float64) ** 5
    given = iter(slopes * (torch.rand(500, 20, generator=draw) < 0.1))
    steps = walk(Adamax([weights([0.0] * 20)]), lambda w: next(given), 500).diff(dim=0)
    return at_most(float(steps.abs().max()) / 0.002, 1 + 1e-12)


CARD = Card(
    name="AdaMax",
    name_ja="AdaMax",
    paper="Kingma and Ba 2015, Adam: a method for stochastic optimization, arXiv:1412.6980, section 7.1",
    equations=(
        r"m = \beta_1 m + (1-\beta_1)\, g,\quad u = \max(\beta_2 u, |g| + \epsilon),\quad "
        r"w = w - \frac{\eta}{1-\beta_1^t} \frac{m}{u}",
    ),
    summary="Adam that divides by the largest gradient of late, so that no step is longer than the rate.",
    summary_ja="最近の最大の勾配で割る Adam。一歩は学習率より長くならない。",
    topics=("optim.adamax",),
    facts=(the_first_step_is_the_rate, no_step_is_longer_than_the_rate),
    notes=("torch adds eps inside of the maximum; the paper has none.",),
    notes_ja=("torch は最大値の中で eps を足す。論文に eps はない。",),
)
