r"""AdamW: Adam whose weight decay is not part of the gradient (Loshchilov and Hutter 2019, arXiv:1711.05101).

    w = (1 - lr wd) w - lr mhat / (sqrt(vhat) + eps)                                                     (1)

with mhat and vhat as in adam.py, of the loss alone. Adam with `weight_decay` puts wd w into the gradient instead, and
divides it by sqrt(vhat) with all the rest. The surprise is what that means: a weight whose gradients are large is then
hardly decayed, and one that has no gradient at all loses about lr at every step, whether wd is 0.01 or 10. Under
gradients of size G that change their sign, the coupled decay takes away

    lr wd w / sqrt(G^2 + ...)  where (1) takes  lr wd w                                                  (2)

For SGD the two forms are one. L1 has a form of its own, exact zeros included: proximal_gd.py.
"""

from typing import final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.optim._adam import AbstractAdam
from shinso.optim._walk import walk, weights
from shinso.optim.adam import Adam
from shinso.optim.sgd import SGD


@final
class AdamW(AbstractAdam, torch.optim.AdamW):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.AdamW."""

    TWIN = torch.optim.AdamW


def without_a_gradient_it_shrinks_by_its_rate() -> Check:
    """Under gradients of 0 every one of 200 steps multiplies the weights by 1 - lr wd = 0.995, to 1e-14.

    Source: equation (1)
    """
    path = walk(AdamW([weights([1.0, -100.0, 1e-3])], lr=0.01, weight_decay=0.5), lambda w: 0 * w, 200)
    return at_most(float((path[1:] / path[:-1] - 0.995).abs().max()), 1e-14)


def in_the_gradient_the_strength_is_lost() -> Check:
    """The trap: Adam's first step from 1 under wd = 0.01 and wd = 10 is lr in both cases; they differ by below 2e-6 lr.

    Source: wd w / sqrt((wd w)^2) does not know wd
    """
    first, second = (walk(Adam([weights([1.0])], lr=0.01, weight_decay=wd), lambda w: 0 * w, 1)[1] for wd in (0.01, 10))
    assert abs(float(first) - 0.99) < 1e-6  # noqa: S101 - the other half of the claim
    return at_most(float((first - second).abs()) / 0.01, 2e-6)


def small_and_large_gradients_decay_alike() -> Check:
    """Under gradients of sizes 1 and 1000 that change their sign, two weights shrink alike in 1000 steps, to 1e-9.

    Source: Loshchilov and Hutter 2019, section 2
    """
    end = _shaken(AdamW([weights([1.0, 1.0])], lr=1e-3, weight_decay=1.0))
    return at_most(abs(float(end[0] / end[1]) - 1), 1e-9)


def coupled_they_do_not() -> Check:
    """With Adam's coupled decay the first of them loses at least 100 times as much as the second.

    Source: equation (2) with G = 1 and 1000
    """
    lost = 1 - _shaken(Adam([weights([1.0, 1.0])], lr=1e-3, weight_decay=1.0))
    return at_least(float(lost[0] / lost[1]), 100.0)


def for_sgd_the_two_are_one() -> Check:
    """On a bowl, SGD with decay in the gradient and SGD beside which the weights shrink agree over 200 steps, to 1e-14.

    Source: Loshchilov and Hutter 2019, proposition 1
    """
    h = weights([0.1, 1.0, 10.0]).detach()
    coupled = walk(SGD([weights([1.0, -2.0, 3.0])], lr=0.05, weight_decay=0.4), lambda w: h * w, 200)
    w = weights([1.0, -2.0, 3.0])
    beside = SGD([w], lr=0.05)
    for _ in range(200):
        slope = h * w.detach()
        w.data.mul_(1 - 0.05 * 0.4)
        walk(beside, lambda at, slope=slope: slope, 1)
    return at_most(float((coupled[-1] - w.detach()).abs().max()), 1e-14)


def where_it_settles_no_entry_is_beyond_one_over_wd() -> Check:
    """Under a constant slope of any size, here -1e-3, -1 and -1000, every weight settles at 1/wd = 2, to 1e-4.

    Source: equation (1) stands still where wd w is mhat / sqrt(vhat), which is 1
    """
    slope = torch.tensor([-1e-3, -1.0, -1000.0], dtype=torch.float64)
    end = walk(AdamW([weights([0.0, 0.0, 9.0])], lr=0.05, weight_decay=0.5), lambda w: slope, 600)[-1]
    return about(float(end[(end - 2).abs().argmax()]), 2.0, 1e-4)


def _shaken(optimiser: torch.optim.Optimizer) -> Tensor:
    """Two weights after 1000 steps under gradients of 1 and 1000 with a changing sign."""
    signs = iter([1.0, -1.0] * 500)
    size = torch.tensor([1.0, 1000.0], dtype=torch.float64)
    return walk(optimiser, lambda w: next(signs) * size, 1000)[-1]


CARD = Card(
    name="AdamW",
    name_ja="AdamW",
    paper="Loshchilov and Hutter 2019, Decoupled weight decay regularization, arXiv:1711.05101",
    equations=(
        r"w = (1 - \eta\lambda)\,w - \eta\,\frac{\hat m}{\sqrt{\hat v} + \epsilon}",
        r"\eta\,\frac{\lambda w}{\sqrt{G^2 + \ldots}}\quad \mathrm{vs.}\quad \eta\,\lambda w",
    ),
    summary="Adam beside which the weights shrink by themselves: the decay is the same for every weight.",
    summary_ja="Adam の一歩とは別に重みを縮める。どの重みも同じ割合で減衰する。",
    topics=(),
    facts=(without_a_gradient_it_shrinks_by_its_rate, in_the_gradient_the_strength_is_lost,
           small_and_large_gradients_decay_alike, coupled_they_do_not, for_sgd_the_two_are_one,
           where_it_settles_no_entry_is_beyond_one_over_wd),
    notes=("The paper multiplies wd by the schedule alone, torch by the rate: a wd of the paper is lr wd here.",
           "Adam(weight_decay=...) is L2 in the gradient, as torch has it; only AdamW is (1)."),
    notes_ja=("論文の減衰はスケジュールだけに掛かり、torch では学習率との積になる。論文の値はここでの lr wd である。",
              "Adam(weight_decay=...) は torch と同じく勾配に入れる L2 で、式 (1) になるのは AdamW だけである。"),
)
