r"""Plateau: the rate falls when an evaluation has not got better for a while; nobody says beforehand when.

    better:  m < best (1 - threshold)                                                                    (1)
    after more than `patience` evaluations in a row that were not better:  lr = factor lr                (2)

It is torch's own class. On w^2/2 with noise of variance 1 in each gradient it finds by itself that a rate has arrived
at its floor E w^2 = lr/(2 - lr), which is the moment that a step decay must be told. The surprise is the trap in (1),
which is meant for losses above 0: with a negative loss it takes what is worse for better.

A schedule of progress cannot know an evaluation, so `--schedule` does not have this one; with a PyTorch loop call
`scheduler.step(loss)` after each evaluation, and save its state_dict beside the optimiser's.
"""

import torch

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.seed import generator
from shinso.optim._walk import walk, weights
from shinso.optim.sgd import SGD

Plateau = torch.optim.lr_scheduler.ReduceLROnPlateau


def _lowered(losses: list[float], patience: int = 3, mode: str = "rel", saved_at: int | None = None) -> list[float]:
    """The rate after each evaluation, from 1 and with a factor of 1/2; saved and resumed before `saved_at`."""
    def made() -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.ReduceLROnPlateau]:
        optimiser = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        return optimiser, Plateau(optimiser, factor=0.5, patience=patience, threshold_mode=mode)  # pyright: ignore

    optimiser, scheduler = made()
    found = []
    for t, loss in enumerate(losses):
        if t == saved_at:
            kept = optimiser.state_dict(), scheduler.state_dict()
            optimiser, scheduler = made()
            optimiser.load_state_dict(kept[0])
            scheduler.load_state_dict(kept[1])
        scheduler.step(loss)
        found.append(float(optimiser.param_groups[0]["lr"]))
    return found


def it_waits_one_more_than_its_patience() -> Check:
    """With a patience of 3 and losses that stand still, the 5th evaluation lowers the rate first: one more than 1 + 3.

    Source: equation (2): more than 3 that were not better, after the 1st that was
    """
    return exactly(_lowered([1.0] * 20).index(0.5) + 1, 5)


def it_falls_again_and_again() -> Check:
    """Then it falls at every 4th evaluation: after 20 that stand still the rate is 1/16.

    Source: equation (2), counted from anew after each fall
    """
    return exactly(_lowered([1.0] * 20)[-1], 1 / 16)


def a_small_gain_is_none() -> Check:
    """A loss that falls by 0.9e-4 of itself in all is no gain: it waits no longer than for one that stands still.

    Source: equation (1) with the default threshold of 1e-4
    """
    return exactly(_lowered([1 - 0.9e-4 * t / 20 for t in range(20)])[-1], _lowered([1.0] * 20)[-1])


def saved_and_resumed_it_is_the_same() -> Check:
    """On 60 noisy losses, saved before evaluation 7, 30 and 55, the rates are the same bit for bit: difference 0.

    Source: state_dict holds the best loss and the count
    """
    losses = torch.rand(60, generator=generator(0, "losses")).tolist()
    whole, *others = (_lowered(losses, saved_at=at) for at in (None, 7, 30, 55))
    return exactly(max(abs(a - b) for other in others for a, b in zip(whole, other, strict=True)), 0.0)


def with_a_negative_loss_worse_is_better() -> Check:
    """The trap: from -1 to -0.9999 upwards, a loss that gets worse at each of 20 evaluations, the rate stays at 1.

    Source: equation (1): -1 (1 - 1e-4) is above -1; threshold_mode="abs" has the cure
    """
    losses = [-1 + 4e-6 * t for t in range(20)]
    assert _lowered(losses, mode="abs")[-1] < 1  # noqa: S101 - the other half of the claim
    return exactly(_lowered(losses)[-1], 1.0)


def it_finds_the_floor_by_itself() -> Check:
    """Over 2000 steps of 2000 noisy runs, evaluated every 20, rate and loss fall below 0.02.

    Source: E w^2 = lr/(2 - lr); nobody told it a time
    """
    rates, losses = _noisy()
    return at_most(max(rates[-1], losses[-1]), 0.02)


def it_falls_only_on_the_floor() -> Check:
    """At each of its falls but the last the loss is within 15 percent of its floor, lr/(2 - lr) at that rate.

    Source: a loss that still falls by 1e-4 of itself resets the count
    """
    rates, losses = _noisy()
    falls = [t for t in range(1, len(rates)) if rates[t] < rates[t - 1]][:-1]
    off = [abs(losses[t] / (rates[t - 1] / (2 - rates[t - 1])) - 1) for t in falls]
    return at_most(max(off) if len(off) >= 3 else 1.0, 0.15)


def _noisy() -> tuple[list[float], list[float]]:
    """Rates and mean squares at each of 100 evaluations."""
    draw, w = generator(0, "noise"), weights(torch.ones(2000))
    optimiser = SGD([w], lr=1.0)
    scheduler = Plateau(optimiser, factor=0.3, patience=5)
    rates, losses = [], []
    for _ in range(100):
        walk(optimiser, lambda at: at + torch.randn(2000, generator=draw), 20)
        losses.append(float(w.detach().square().mean()))
        scheduler.step(losses[-1])
        rates.append(optimiser.param_groups[0]["lr"])
    return rates, losses


CARD = Card(
    name="Plateau",
    name_ja="プラトー検知による学習率の減衰",
    paper="Bengio 2012, Practical recommendations for gradient-based training of deep architectures, arXiv:1206.5533",
    equations=(
        r"m < m_{\mathrm{best}} (1 - \theta)",
        r"\eta = \gamma\,\eta",
    ),
    summary="Lowers the rate when an evaluation has not got better for a while: it finds the floor of a rate.",
    summary_ja="評価値がしばらく改善しないと学習率を下げる。その学習率で届く底に着いたことを自分で見つける。",
    topics=(),
    facts=(it_waits_one_more_than_its_patience, it_falls_again_and_again, a_small_gain_is_none,
           saved_and_resumed_it_is_the_same, with_a_negative_loss_worse_is_better, it_finds_the_floor_by_itself,
           it_falls_only_on_the_floor),
    notes=("The rule (1) is meant for losses above 0: for others, or for a score to be maximised, say so by mode and "
           "threshold_mode.",
           "It needs evaluations, so it is no function of progress and no choice of `--schedule`."),
    notes_ja=("式 (1) は 0 より大きい損失のためのものである。ほかの値では mode と threshold_mode で指定する。",
              "評価を必要とするため進捗の関数にはならず、`--schedule` の選択肢にはない。"),
)
