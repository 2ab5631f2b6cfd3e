r"""The one-cycle schedule: up along a line, then down along half a cosine (Smith 2018, with a cosine's tail).

    f(p) = s + (1 - s) p/q          for p < q,                                                           (1)
    f(p) = (1 + cos(pi (p - q)/(1 - q))) / 2   from q on,   p = t/T the share of the run that is done    (2)

The peak stands at q = 1/4, the start at s = 1/10. The surprise is how high the peak may be. On curvature h a constant
rate must stay below 2/h; a cycle only needs that its mean of log |1 - lr f h| over the run is below 0,

    int_0^1 log |1 - lr f(p) h| dp < 0                                                                   (3)

and that holds up to a peak of 4.155/h: it flings the weights out for a while, and has them back at its end.
"""

import math

import torch

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.optim._rates import factors, furthest, torchs
from shinso.optim._walk import walk, weights
from shinso.optim.cosine import cosine
from shinso.optim.sgd import SGD

OneCycle = torch.optim.lr_scheduler.OneCycleLR


def one_cycle(progress: float, peak: float = 0.25, start: float = 0.1) -> float:
    """A straight line from `start` up to 1 at the share `peak` of the run, then half a cosine down to 0."""
    if progress < peak:
        return start + (1 - start) * progress / peak  # (1)
    return cosine((progress - peak) / (1 - peak))  # (2)


def _torchs_cycle(optimiser: torch.optim.Optimizer, shape: str) -> torch.optim.lr_scheduler.OneCycleLR:
    """200 steps, the peak after a quarter of them, the start at a tenth, the end at nothing."""
    return OneCycle(optimiser, 1.0, total_steps=200, pct_start=0.25, anneal_strategy=shape,  # pyright: ignore
                    div_factor=10, final_div_factor=1e300, cycle_momentum=False)


def its_rise_is_torchs() -> Check:
    """Over the first 50 of 200 steps the rates are those of torch's OneCycleLR with straight lines, to 1e-12.

    Source: equation (1); torch's peak is at step 49 and its last step, 199, is at the end
    """
    ours = [one_cycle(t / 199, peak=49 / 199) for t in range(50)]
    return at_most(furthest(ours, torchs(lambda o: _torchs_cycle(o, "linear"), 50)), 1e-12)


def its_fall_is_torchs() -> Check:
    """From step 49 to the end of 200 the rates are those of torch's OneCycleLR with cosines, to 1e-12.

    Source: equation (2)
    """
    ours = [one_cycle(t / 199, peak=49 / 199) for t in range(49, 200)]
    return at_most(furthest(ours, torchs(lambda o: _torchs_cycle(o, "cos"), 200)[49:]), 1e-12)


def saved_and_resumed_it_is_the_same() -> Check:
    """torch's scheduler, saved on its way up and down, gives the same 200 rates bit for bit: difference 0.

    Source: state_dict holds the step; (1) and (2) hold nothing
    """
    whole, *others = (torchs(lambda o: _torchs_cycle(o, "cos"), 200, saved_at=at) for at in (None, 20, 49, 150))
    return exactly(max(furthest(whole, other) for other in others), 0.0)


def torch_cycles_the_momentum_too() -> Check:
    """The trap: left to its defaults, torch's cycle takes the momentum from 0.95 down to 0.85 at the peak.

    Source: Smith 2018; cycle_momentum=True is torch's default
    """
    optimiser = SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    scheduler = OneCycle(optimiser, 1.0, total_steps=201)
    found = [optimiser.param_groups[0]["momentum"]]
    for _ in range(200):
        optimiser.step()
        scheduler.step()
        found.append(optimiser.param_groups[0]["momentum"])
    assert abs(max(found) - 0.95) < 1e-12  # noqa: S101 - the other half of the claim
    return about(min(found), 0.85, 1e-3)


def its_mean_is_known() -> Check:
    """The mean of the rates of 10000 steps is (q (1 + s) + 1 - q) / 2 = 0.5125, to 1e-4.

    Source: the areas below a line and below half a cosine
    """
    return about(sum(factors(one_cycle, 10_000)) / 10_000, 0.5125, 1e-4)


def the_peak_may_be_beyond_the_edge() -> Check:
    """At a peak of 3.5 on curvature 1, where a constant rate grows over 1e300 fold, 1000 steps end below 1e-10.

    Source: equation (3); Smith 2018 on large learning rates
    """
    cycle, steady = _distances(3.5, factors(one_cycle, 1000)), _distances(3.5, [1.0] * 770)
    return at_most(cycle[-1] if steady[-1] > 1e300 else math.inf, 1e-10)


def it_is_flung_out_first() -> Check:
    """On the way to that end the weight is at least 1e20 times as far out as at its start.

    Source: |1 - 3.5 f| is above 1 wherever f is above 2/3.5
    """
    return at_least(max(_distances(3.5, factors(one_cycle, 1000))), 1e20)


def where_the_cycle_itself_fails() -> Check:
    """Halving an interval 30 times finds the peak from which (3) no longer holds: 4.155, to 0.01.

    Source: equation (3), where a constant rate has 2
    """
    low, high = 2.0, 6.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _growth(middle) < 0 else (low, middle)
    return about(low, 4.155, 0.01)


def _growth(peak: float, points: int = 2000) -> float:
    """The integral in (3) at curvature 1."""
    return sum(math.log(abs(1 - peak * one_cycle((i + 0.5) / points))) for i in range(points)) / points


def _distances(peak: float, rates: list[float]) -> list[float]:
    """How far from the minimum of w^2/2, after every step from 1."""
    optimiser, found = SGD([weights([1.0])], lr=peak), []
    for rate in rates:
        optimiser.param_groups[0]["lr"] = peak * rate
        found.append(abs(float(walk(optimiser, lambda w: w, 1)[1])))
    return found


CARD = Card(
    name="One-cycle schedule",
    name_ja="One-cycle (一周期の学習率)",
    paper="Smith 2018, A disciplined approach to neural network hyper-parameters: part 1, arXiv:1803.09820",
    equations=(
        r"f(p) = s + (1 - s)\, p/q\quad (p < q)",
        r"f(p) = \frac{1}{2}\left(1 + \cos \pi \frac{p - q}{1 - q}\right)\quad (p \geq q)",
        r"\int_0^1 \log |1 - \eta f(p)\, h|\, dp < 0",
    ),
    summary="Up along a line for a quarter of the run, then down along half a cosine: the peak may be above 2/L.",
    summary_ja="訓練の四分の一で学習率を直線で上げ、その後コサインで 0 まで下げる。最大値は 2/L を超えてもよい。",
    topics=(),
    facts=(its_rise_is_torchs, its_fall_is_torchs, saved_and_resumed_it_is_the_same, torch_cycles_the_momentum_too,
           its_mean_is_known, the_peak_may_be_beyond_the_edge, it_is_flung_out_first, where_the_cycle_itself_fails),
    notes=("torch's OneCycleLR also moves the momentum, has one shape for both ways, and starts at a 25th; here only "
           "the rate moves, up along a line, from a tenth.",
           "Smith's own cycle is two straight lines and a short tail; the cosine is the form that is used today."),
    notes_ja=("torch の OneCycleLR は慣性も動かし、上りと下りは同じ形で、25分の一から始まる。ここでは学習率だけを、"
              "十分の一から直線で上げる。",
              "Smith の原型は二本の直線と短い尾からなる。コサインは今日使われる形である。"),
)
