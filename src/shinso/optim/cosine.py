r"""The cosine schedule: the rate falls along half a cosine, to nothing (Loshchilov and Hutter 2017, without restarts).

    f(p) = (1 + cos(pi p)) / 2,   p = t/T the share of the run that is done                              (1)

Flat at both ends, and symmetric about the middle, so that its mean is half of its peak. The surprise is in two parts.
Without noise, on a quadratic of curvature h, a run multiplies the error by

    prod_t (1 - lr f(t/T) h)                                                                             (2)

which does not know the order of its factors: run backwards, the cosine ends in the same place. What makes it a
schedule is noise, which only the last steps leave behind.
"""

from collections.abc import Iterable
from math import cos, pi

import torch

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.optim._rates import factors, furthest, torchs
from shinso.optim._walk import walk, weights
from shinso.optim.sgd import SGD

Cosine = torch.optim.lr_scheduler.CosineAnnealingLR


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0; progress from 0 to 1."""
    return 0.5 * (1 + cos(pi * progress))  # (1)


def it_is_torchs() -> Check:
    """Over 300 steps the rates are those of torch's CosineAnnealingLR with T_max = 300, to 1e-12.

    Source: Loshchilov and Hutter 2017, equation (5)
    """
    return at_most(furthest(factors(cosine, 300), torchs(lambda o: Cosine(o, 300), 300)), 1e-12)


def saved_and_resumed_it_is_the_same() -> Check:
    """torch's scheduler, saved before step 1, 150 or 299, gives the same 300 rates bit for bit: difference 0.

    Source: state_dict holds the step, and torch goes on from the last rate; (1) holds nothing
    """
    whole, *others = (torchs(lambda o: Cosine(o, 300), 300, saved_at=at) for at in (None, 1, 150, 299))
    return exactly(max(furthest(whole, other) for other in others), 0.0)


def torchs_rises_again() -> Check:
    """The trap: 300 steps after T_max = 300, torch's rate is back at its peak of 1, to 1e-9.

    Source: torch's form is periodic, with period 2 T_max
    """
    return about(torchs(lambda o: Cosine(o, 300), 601)[600], 1.0, 1e-9)


def its_mean_is_half() -> Check:
    """The mean of the rates of 1000 steps, with half of each end, is 1/2 to 1e-12.

    Source: f(p) + f(1 - p) = 1
    """
    rates = [cosine(t / 1000) for t in range(1001)]
    return about((sum(rates) - (rates[0] + rates[-1]) / 2) / 1000, 0.5, 1e-12)


def the_last_tenth_hardly_moves() -> Check:
    """The last tenth of a run of 10000 steps has 0.16 percent of all the rate, to 0.01 percent.

    Source: the integral of (1) from 0.9 to 1 is 0.05 - sin(0.9 pi) / (2 pi)
    """
    rates = factors(cosine, 10_000)
    return about(100 * sum(rates[9000:]) / sum(rates), 0.16, 0.01)


def without_noise_the_order_is_nothing() -> Check:
    """On curvatures 1 and 0.01 a run at most 0.5 and the same run backwards end alike, to 1e-12 of the start.

    Source: equation (2): factors commute
    """
    one, other = _both_ways(200)
    return at_most(float((one - other).abs().max()), 1e-12)


def with_noise_it_is_everything() -> Check:
    """With noise, a run of 2000 steps backwards ends with at least 50 times the variance.

    Source: v' = (1 - a)^2 v + a^2 for independent noise of variance 1 and curvature 1
    """
    rates = [0.5 * rate for rate in factors(cosine, 2000)]
    return at_least(_variance(reversed(rates)) / _variance(rates), 50.0)


def _both_ways(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where a run and the same run backwards end, from (1, 1) on curvatures 1 and 0.01."""
    rates, ends = factors(cosine, steps), []
    h = weights([1.0, 0.01]).detach()
    for order in (rates, rates[::-1]):
        w = weights([1.0, 1.0])
        optimiser = SGD([w], lr=0.5)
        for rate in order:
            optimiser.param_groups[0]["lr"] = 0.5 * rate
            walk(optimiser, lambda w: h * w, 1)
        ends.append(w.detach())
    return ends[0], ends[1]


def _variance(rates: Iterable[float]) -> float:
    v = 0.0
    for a in rates:
        v = (1 - a) ** 2 * v + a**2
    return v


CARD = Card(
    name="Cosine schedule",
    name_ja="コサイン減衰",
    paper="Loshchilov and Hutter 2017, SGDR: stochastic gradient descent with warm restarts, arXiv:1608.03983",
    equations=(
        r"f(p) = \frac{1}{2}(1 + \cos \pi p),\quad p = t/T",
        r"\prod_t \left(1 - \eta f(t/T)\, h\right)",
    ),
    summary="The rate falls along half a cosine to nothing; without noise its order would not matter at all.",
    summary_ja="学習率をコサインの半周期に沿って 0 まで下げる。雑音がなければ、その順序は結果に影響しない。",
    topics=(),
    facts=(it_is_torchs, saved_and_resumed_it_is_the_same, torchs_rises_again, its_mean_is_half,
           the_last_tenth_hardly_moves, without_noise_the_order_is_nothing, with_noise_it_is_everything),
    notes=("torch's CosineAnnealingLR rises again after T_max; that is where to stop.",),
    notes_ja=("torch の CosineAnnealingLR は T_max を過ぎると再び上がる。そこで止めなければならない。",),
)
