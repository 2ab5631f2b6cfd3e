r"""Warm-up: the first steps are short, then any other schedule begins (Goyal et al. 2017).

    f(p) = s + (1 - s) p/q  for p < q,   f(p) = f'((p - q)/(1 - q))  from q on                           (1)

with p = t/T the share of the run that is done and f' the schedule that follows. The surprise is why Adam wants it. Its
first step is lr in every entry, whatever the gradients; after many steps under gradients that are only noise a step is

    E (mhat^2 / vhat) = (1 - b1)/(1 + b1)                                                                (2)

on average, 0.23 lr at b1 = 0.9. So without a warm-up Adam begins with the longest steps of its run, in the direction
that a single batch happened to have (Ma and Yarats 2021).
"""

from collections.abc import Callable

import torch

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.seed import generator
from shinso.optim._rates import factors, furthest, torchs
from shinso.optim._walk import walk, weights
from shinso.optim.adam import Adam
from shinso.optim.cosine import Cosine, cosine

WarmUp = torch.optim.lr_scheduler.LinearLR


def warm_up(then: Callable[[float], float] = cosine, share: float = 0.1,
            start: float = 0.01) -> Callable[[float], float]:
    """A schedule: a line from `start` to 1 over the first `share` of the run, then all of `then`."""

    def schedule(progress: float) -> float:
        if progress < share:
            return start + (1 - start) * progress / share  # (1)
        return then((progress - share) / (1 - share))  # (1)

    return schedule


def _torchs_pair(optimiser: torch.optim.Optimizer) -> torch.optim.lr_scheduler.SequentialLR:
    """30 steps of a line, then 270 of a cosine."""
    parts = [WarmUp(optimiser, start_factor=0.01, total_iters=30), Cosine(optimiser, 270)]
    return torch.optim.lr_scheduler.SequentialLR(optimiser, parts, milestones=[30])  # pyright: ignore - a list of both


def before_a_cosine_it_is_torchs() -> Check:
    """Over 300 steps the rates are those of torch's LinearLR and CosineAnnealingLR one after the other, to 1e-12.

    Source: equation (1); Goyal et al. 2017, section 2.2
    """
    return at_most(furthest(factors(warm_up(), 300), torchs(_torchs_pair, 300)), 1e-12)


def saved_and_resumed_it_is_the_same() -> Check:
    """torch's pair, saved before step 10, 30 and 200, gives the same 300 rates bit for bit: difference 0.

    Source: SequentialLR keeps the states of its parts; (1) holds nothing
    """
    whole, *others = (torchs(_torchs_pair, 300, saved_at=at) for at in (None, 10, 30, 200))
    return exactly(max(furthest(whole, other) for other in others), 0.0)


def adams_first_step_is_its_longest() -> Check:
    """Under gradients of pure noise, Adam's first step is 4.36 times the root mean square of its 400th, to 2 percent.

    Source: equation (2): 1 / sqrt(0.1 / 1.9)
    """
    draw = generator(0, "noise")
    path = walk(Adam([weights([0.0] * 10_000)], betas=(0.9, 0.999)),
                lambda w: torch.randn(w.shape, generator=draw, dtype=w.dtype), 400)
    length = path.diff(dim=0).square().mean(1).sqrt()
    return about(float(length[0] / length[-1]), 19**0.5, 0.02 * 19**0.5)


def it_takes_that_step_away() -> Check:
    """With a warm-up of 100 of 1000 steps, the first 20 of those steps together go less than a tenth as far.

    Source: equation (1): the mean of f over those 20 is 0.104
    """
    rates = factors(warm_up(), 1000)[:20]
    return at_most(_way(rates) / _way([1.0] * 20), 0.1)


def a_start_of_nothing_wastes_a_step() -> Check:
    """The trap: from a start of 0, the first step of a run moves no weight, yet costs its gradient.

    Source: equation (1) at p = 0; torch's LinearLR refuses a start_factor of 0
    """
    return exactly(_way(factors(warm_up(start=0.0), 10)[:1]), 0.0)


def without_a_share_it_is_what_follows() -> Check:
    """With a share of 0 the rates are those of the schedule itself: difference 0.

    Source: equation (1) with q = 0
    """
    return exactly(furthest(factors(warm_up(cosine, 0.0), 100), factors(cosine, 100)), 0.0)


def it_ends_where_the_other_ends() -> Check:
    """The last of 1000 steps has at least 99 percent of the last rate of a cosine that begins 100 steps later.

    Source: the schedule that follows is squeezed, not cut
    """
    return at_least(factors(warm_up(), 1000)[-1] / factors(cosine, 900)[-1], 0.99)


def _way(rates: list[float]) -> float:
    """The mean distance of 2000 weights from their start, after steps of Adam at these rates under pure noise."""
    draw = generator(1, "noise")
    optimiser, way = Adam([weights([0.0] * 2000)], lr=1.0), 0.0
    for rate in rates:
        optimiser.param_groups[0]["lr"] = rate
        way = float(walk(optimiser, lambda w: torch.randn(w.shape, generator=draw, dtype=w.dtype), 1)[1].abs().mean())
    return way


CARD = Card(
    name="Warm-up",
    name_ja="ウォームアップ",
    paper="Goyal et al. 2017, Accurate, large minibatch SGD: training ImageNet in 1 hour, arXiv:1706.02677",
    equations=(
        r"f(p) = s + (1 - s)\, p/q\ \ (p < q),\quad f(p) = f'\left(\frac{p - q}{1 - q}\right)\ \ (p \geq q)",
        r"E(\hat m^2 / \hat v) = (1 - \beta_1)/(1 + \beta_1)",
    ),
    summary="Short steps at first, then any other schedule: Adam's first steps are the longest of its run.",
    summary_ja="初めは歩幅を小さくし、その後ほかのスケジュールに移る。Adam の最初の一歩は最も長いからである。",
    topics=(),
    facts=(before_a_cosine_it_is_torchs, saved_and_resumed_it_is_the_same, adams_first_step_is_its_longest,
           it_takes_that_step_away, a_start_of_nothing_wastes_a_step, without_a_share_it_is_what_follows,
           it_ends_where_the_other_ends),
    notes=("Goyal et al. warm up SGD with large batches, from the rate of one worker to that of all; with Adam the "
           "reason is (2).",),
    notes_ja=("Goyal らは大きなバッチの SGD で、一台分の学習率から全台分まで上げた。Adam での理由は式 (2) である。",),
)
