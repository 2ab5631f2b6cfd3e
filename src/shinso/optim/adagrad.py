r"""AdaGrad (Duchi, Hazan and Singer 2011).

    h = h + g g,   w = w - lr_t g / (sqrt(h) + eps),   lr_t = lr / (1 + (t - 1) decay)                  (1)
"""

from typing import Any, final

import torch

from shinso.core.card import Card, Check, about, at_most
from shinso.kernels.elementwise import sqrt
from shinso.optim._elementwise import AbstractTwin, Group
from shinso.optim._walk import along, walk, weights


@final
class Adagrad(AbstractTwin, torch.optim.Adagrad):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.Adagrad."""

    TWIN = torch.optim.Adagrad
    STATE = ("sum",)

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1)"""
        rate, eps = h
        (total,) = s
        total = total + g * g
        return w - rate * g / (sqrt(total) + eps), (total,)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["lr"] / (1 + (step - 1) * group["lr_decay"]), group["eps"]

    def initial(self, group: Group) -> tuple[float, ...]:
        return (group["initial_accumulator_value"],)


def the_first_step_is_the_rate() -> Check:
    """Under gradients 1e-3, 0.3 and -200 the first step is -lr g / (|g| + eps), to 1e-16.

    Source: equation (1) at t = 1
    """
    g = torch.tensor([1e-3, 0.3, -200.0], dtype=torch.float64)
    step = walk(Adagrad([weights([0.0, 0.0, 0.0])], lr=0.01), lambda w: g, 1)[1]
    return at_most(float((step + 0.01 * g / (g.abs() + 1e-10)).abs().max()), 1e-16)


def a_constant_gradient_slows_it_down() -> Check:
    """Under a constant gradient step t is lr / sqrt(t): the hundredth by the first is 0.1 to 1e-10; it is never 0.

    Source: sqrt(h) = |g| sqrt(t)
    """
    path = [0.0, *along(Adagrad([weights([0.0])], lr=0.01), [3.0] * 100)]
    return about((path[100] - path[99]) / (path[1] - path[0]), 0.1, 1e-10)


def regret_stays_below_its_bound() -> Check:
    """Over 400 rounds of |w - z| in 6 coordinates on [-1, 1] its regret is below sqrt(2) D sum_i |g_i|: the ratio.

    Source: Duchi, Hazan and Singer 2011, corollary 6, with D = 2 and lr = D / sqrt(2)
    """
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(400, 6, generator=draw, dtype=torch.float64).mul(0.5).add(0.3).clamp(-1, 1)
    w = weights([-1.0] * 6)
    optimiser, lost, slopes = Adagrad([w], lr=2 / 2**0.5), 0.0, []
    for target in z:
        lost += float((w.detach() - target).abs().sum())
        w.grad = (w.detach() - target).sign()
        slopes.append(w.grad)
        optimiser.step()
        w.data.clamp_(-1, 1)
    best = float((z - z.median(0).values).abs().sum())
    bound = 2**0.5 * 2 * float(torch.stack(slopes).norm(dim=0).sum())
    return at_most((lost - best) / bound, 1.0)


CARD = Card(
    name="AdaGrad",
    name_ja="AdaGrad",
    paper="Duchi, Hazan and Singer 2011, Adaptive subgradient methods for online learning and stochastic optimization",
    equations=(
        r"h = h + g \odot g,\quad w = w - \eta_t \frac{g}{\sqrt{h} + \epsilon},\quad "
        r"\eta_t = \frac{\eta}{1 + (t-1)\,d}",
    ),
    summary="Each weight is divided by the root of all its squared gradients: rare directions keep a large rate.",
    summary_ja="重みごとに過去の勾配の二乗和の平方根で割る。まれにしか動かない方向の学習率が大きく保たれる。",
    topics=("optim.adagrad",),
    facts=(the_first_step_is_the_rate, a_constant_gradient_slows_it_down, regret_stays_below_its_bound),
    notes=("The two factors of g g are the same gradient; the article's formula has a broken fraction there.",
           "eps stands outside of the root here; torch's default is 1e-10, the article's code has 1e-7."),
    notes_ja=("g g の二つの因子は同じ勾配である。記事の式ではそこが壊れた分数になっている。",
              "ここでは eps は根の外にある。torch の既定値は 1e-10、記事のコードは 1e-7 である。"),
)
