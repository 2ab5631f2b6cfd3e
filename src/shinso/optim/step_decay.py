r"""Step decay: the rate stands still, then falls to a tenth at once (Krizhevsky, Sutskever and Hinton 2012).

    f(p) = gamma^floor(n p),   p = t/T the share of the run that is done, n parts of equal length        (1)

The surprise is the cliff in the curve of the loss. On w^2/2 with noise of variance 1 in each gradient, a rate lr ends
at

    E w^2 = lr / (2 - lr)                                                                                (2)

and gets no further: the run waits on a floor that its rate decides, and every drop lets it fall to the next one. To
wait longer than a few 1/lr steps is lost time.
"""

from math import floor

import torch

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.seed import generator
from shinso.optim._rates import factors, furthest, torchs
from shinso.optim._walk import walk, weights
from shinso.optim.sgd import SGD

StepDecay = torch.optim.lr_scheduler.StepLR


def step_decay(progress: float, parts: int = 3, factor: float = 0.1) -> float:
    """1, `factor`, `factor`^2 ... over `parts` equal parts of a run; progress from 0 to 1."""
    return factor ** min(floor(progress * parts + 1e-9), parts - 1)  # (1); 1e-9: see the fact about late drops


def it_is_torchs() -> Check:
    """Over runs of 60 steps in 2 to 60 parts the rates are those of torch's StepLR, to 1e-12.

    Source: equation (1)
    """
    off = [furthest(factors(lambda p, n=n: step_decay(p, n, 0.7), 60),
                    torchs(lambda o, n=n: StepDecay(o, 60 // n, gamma=0.7), 60)) for n in (2, 3, 4, 5, 6, 10, 12, 60)]
    return at_most(max(off), 1e-12)


def saved_and_resumed_it_is_the_same() -> Check:
    """torch's scheduler, saved in the middle and at a drop, gives the same 60 rates bit for bit: difference 0.

    Source: state_dict holds the step and the rate; (1) holds nothing
    """
    whole, *others = (torchs(lambda o: StepDecay(o, 20), 60, saved_at=at) for at in (None, 20, 33))
    return exactly(max(furthest(whole, other) for other in others), 0.0)


def no_drop_is_late() -> Check:
    """Of the 5050 places j/n with n to 100, (1) drops at all; the plain floor of n p misses some of them.

    Source: 1/49 times 49 is below 1 in float64
    """
    places = [(j, n) for n in range(1, 101) for j in range(n)]
    late = sum(step_decay(j / n, n, 0.5) != 0.5**j for j, n in places)
    assert any(floor(j / n * n) != j for j, n in places)  # noqa: S101 - the other half of the claim
    return exactly(late, 0)


def every_drop_lowers_the_floor() -> Check:
    """With 5000 noisy runs at 0.5, 0.1 and 0.02, for 200 steps each, the variances are those of (2) within 5 percent.

    Source: equation (2): E w'^2 = (1 - lr)^2 E w^2 + lr^2 stands still there
    """
    variance = _noisy(600)
    rates = [0.5, 0.1, 0.02]
    return at_most(max(abs(variance[200 * (k + 1)] / (lr / (2 - lr)) - 1) for k, lr in enumerate(rates)), 0.05)


def a_drop_is_a_cliff() -> Check:
    """The first drop takes the loss down at least 4 fold within 20 steps; the 150 before it changed it by nothing.

    Source: equation (2), with 1/lr = 10 steps of memory after the drop
    """
    variance = _noisy(220)
    assert abs(variance[200] / variance[50] - 1) < 0.05  # noqa: S101 - the other half of the claim
    return at_least(variance[200] / variance[220], 4.0)


def _noisy(steps: int) -> list[float]:
    """The mean square of 5000 runs of 600 steps from 1, before each of the first `steps` and after the last."""
    draw = generator(0, "noise")
    w = weights(torch.ones(5000))
    optimiser, found = SGD([w], lr=0.5), [1.0]
    for t in range(steps):
        optimiser.param_groups[0]["lr"] = 0.5 * step_decay(t / 600, factor=0.2)
        noise = torch.randn(5000, generator=draw)
        found.append(float(walk(optimiser, lambda at, noise=noise: at + noise, 1)[1].square().mean()))
    return found


CARD = Card(
    name="Step decay",
    name_ja="ステップ減衰",
    paper="Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks",
    equations=(
        r"f(p) = \gamma^{\lfloor n p \rfloor},\quad p = t/T",
        r"E\,w^2 = \eta/(2 - \eta)",
    ),
    summary="The rate stands still and then falls to a tenth at once; the loss falls with it, like over a cliff.",
    summary_ja="学習率をしばらく一定に保ち、一気に十分の一へ下げる。損失も崖のように下がる。",
    topics=(),
    facts=(it_is_torchs, saved_and_resumed_it_is_the_same, no_drop_is_late, every_drop_lowers_the_floor,
           a_drop_is_a_cliff),
    notes=("torch counts its step_size in calls of scheduler.step(), whether those are epochs or steps; here the parts "
           "are parts of the run.",),
    notes_ja=("torch の step_size は scheduler.step() の呼び出し回数で数える。ここでは訓練全体を等分する。",),
)
