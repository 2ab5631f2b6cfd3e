r"""Lion, "evolved sign momentum" (Chen et al. 2023, arXiv:2302.06675): found by a search over programs.

    c = b1 m + (1 - b1) g,   w = w - lr (sign(c) + wd w)                                                 (1)
    m = b2 m + (1 - b2) g                                                                                (2)

Algorithm 2 of the paper. Every entry moves by exactly lr, whatever the gradient's size, and one moment is kept where
Adam keeps two. The surprise came afterwards: with wd > 0 this solves another problem than the one it is given,

    minimise f(w) subject to |w_i| <= 1/wd                                                               (3)

(Chen, Liu, Liang and Liu 2023, arXiv:2310.05898): outside of that box it comes back, inside of it it never leaves.
"""

from typing import Any, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.seed import generator
from shinso.kernels.elementwise import sign
from shinso.optim._checks import check_rate
from shinso.optim._elementwise import AbstractElementwise, Group
from shinso.optim._walk import walk, weights


@final
class Lion(AbstractElementwise):
    """Lion; weight_decay is decoupled, as in the paper. A rate 3 to 10 times below AdamW's is the authors' advice."""

    STATE = ("exp_avg",)
    SCALARS = ()

    def __init__(self, params: Any, lr: float | Tensor = 1e-4, betas: tuple[float, float] = (0.9, 0.99), *,
                 weight_decay: float = 0.0, maximize: bool = False):
        check_rate(lr)
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize})

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2)"""
        (m,) = s
        lr, keep, b1, rest1, b2, rest2 = h
        return keep * w - lr * sign(b1 * m + rest1 * g), (b2 * m + rest2 * g,)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        b1, b2 = group["betas"]
        return group["lr"], 1 - group["lr"] * group["weight_decay"], b1, 1 - b1, b2, 1 - b2

    def turn(self, group: Group) -> tuple[float, float]:
        return super().turn(group)[0], 0.0  # the decay is not the gradient's


def every_entry_moves_by_the_rate() -> Check:
    """Over 200 steps of random gradients every entry moves by lr = 2^-7 each time; the largest deviation is 0.

    Source: equation (1) without weight decay
    """
    draw = generator(0, "gradients")
    path = walk(Lion([weights([0.0] * 50)], lr=2**-7), lambda w: torch.randn(50, generator=draw).to(w), 200)
    return exactly(float((path.diff(dim=0).abs() - 2**-7).abs().max()), 0.0)


def the_scale_of_the_loss_says_nothing() -> Check:
    """A loss multiplied by 2^40 gives the same 300 weights bit for bit: the difference is 0.

    Source: equations (1) and (2), where a power of two moves no sign and no rounding
    """
    curvature = weights([1.0, 7.0, 100.0]).detach()
    paths = [walk(Lion([weights([1.0, -2.0, 3.0])], lr=0.01), lambda w, c=c: c * curvature * w, 300)
             for c in (1.0, 2.0**40)]
    return exactly(float((paths[0] - paths[1]).abs().max()), 0.0)


def the_box_is_never_left() -> Check:
    """1000 steps of random gradients with wd = 4, from within |w| <= 1/4: the largest |w| is at most 1/4.

    Source: Chen, Liu, Liang and Liu 2023; |w| <= (1 - lr wd) / wd + lr
    """
    draw = generator(1, "gradients")
    start = weights([0.25, -0.25, 0.1, 0.0])
    path = walk(Lion([start], lr=0.01, weight_decay=4.0), lambda w: 1 + torch.randn(4, generator=draw).to(w), 1000)
    return at_most(float(path.abs().max()), 0.25 + 1e-12)


def decay_bounds_the_answer() -> Check:
    """(w - 5)^2/2 with wd = 1 ends at w = 1, the edge of the box, not at the penalised minimum 2.5; to 1e-6.

    Source: equation (3); Chen, Liu, Liang and Liu 2023
    """
    path = walk(Lion([weights([0.0])], lr=0.01, weight_decay=1.0), lambda w: w - 5, 2000)
    return about(float(path[-1]), 1.0, 1e-6)


CARD = Card(
    name="Lion",
    name_ja="Lion",
    paper="Chen et al. 2023, arXiv:2302.06675",
    equations=(
        r"c = \beta_1 m + (1-\beta_1)\,g,\quad w = w - \eta\,(\mathrm{sign}(c) + \lambda w)",
        r"m = \beta_2 m + (1-\beta_2)\,g",
        r"\min f(w)\quad \mathrm{s.t.}\quad |w_i| \leq 1/\lambda",
    ),
    summary="Moves every entry by exactly the rate along the sign of an averaged gradient, with one moment kept.",
    summary_ja="平均した勾配の符号に沿って、どの成分もちょうど学習率だけ動かす。保持するモーメントは一つだけ。",
    topics=(),
    facts=(every_entry_moves_by_the_rate, the_scale_of_the_loss_says_nothing, the_box_is_never_left,
           decay_bounds_the_answer),
    notes=("The average that is signed uses b1, the one that is kept b2: one average for both is another method.",),
    notes_ja=("符号をとる平均は b1、保持する平均は b2 を使う。一つの平均で済ませると別の手法になる。",),
)
