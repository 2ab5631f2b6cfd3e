r"""Gradient clipping, by norm and by value (Mikolov 2012; Pascanu, Mikolov and Bengio 2013).

    by norm:    g <- g min(1, c / ||g||),   ||g|| over all entries of all weights together               (1)
    by value:   g_i <- min(max(g_i, -c), c)                                                              (2)

(1) keeps the direction, (2) turns it. What (1) is good for is a gradient without a variance: a step of SGD is then at
most lr c long, whatever the noise. The surprise is at the edge of the numbers: with one infinite entry ||g|| is
infinite, c/||g|| is 0, and (1) as it stands wipes out every gradient there is.

torch's clip_grad_norm_ divides by ||g|| + 1e-6 and multiplies every gradient at every step; this one is exact, leaves
gradients that are short enough alone, and does not lose a float32 gradient whose square is beyond float32. By value it
is torch's own function.
"""

import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.seed import generator
from shinso.optim._walk import weights
from shinso.optim.sgd import SGD

_torch = cast(Any, torch)  # operations on lists of tensors have no public names

clip_by_value = torch.nn.utils.clip_grad_value_


@torch.no_grad()
def clip_by_norm(parameters: Iterable[Tensor], c: float) -> Tensor:
    """(1) in place on the gradients of `parameters`; returns the norm before, a scalar.

    A norm that is not finite changes nothing: look at what is returned, and leave out the step. ValueError if c < 0.
    """
    if not c >= 0:
        raise ValueError(f"Invalid norm to clip to: {c}")
    grads = [w.grad for w in parameters if w.grad is not None]
    if not grads:
        return torch.zeros(())
    total = _norm(grads, None)
    if total.device.type != "cpu":  # where looking would wait
        factor = torch.where(total.isfinite(), (c / total).clamp(max=1.0), 1.0)
        _torch._foreach_mul_(grads, factor)
        return total
    if math.isinf(float(total)):  # of an entry, or of a square beyond float32
        total = _norm(grads, torch.float64)
    if c < float(total) < math.inf:
        _torch._foreach_mul_(grads, c / float(total))  # (1)
    return total


def _norm(grads: list[Tensor], kind: torch.dtype | None) -> Tensor:
    norms = _torch._foreach_norm(grads, 2, kind)
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0]) for norm in norms]))


def _given(size: float, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Three weights with normal gradients of this size."""
    draw, found = generator(0, "gradients"), []
    for shape in ((3, 4), (5,), ()):
        w = torch.zeros(shape, dtype=dtype, requires_grad=True)
        w.grad = (size * torch.randn(shape, generator=draw, dtype=torch.float64)).to(dtype)
        found.append(w)
    return found


def _together(given: list[Tensor]) -> Tensor:
    return torch.cat([w.grad.flatten() for w in given if w.grad is not None])


SIZES = (1e-6, 0.1, 1.0, 30.0, 1e8)


def the_norm_afterwards_is_the_smaller() -> Check:
    """For gradients of sizes 1e-6 to 1e8 the norm afterwards is min(norm, 2), to 1e-12 of it.

    Source: equation (1)
    """
    worst = 0.0
    for size in SIZES:
        given = _given(size)
        before = float(clip_by_norm(given, 2.0))
        worst = max(worst, abs(float(_together(given).norm()) / min(before, 2.0) - 1))
    return at_most(worst, 1e-12)


def the_direction_is_the_same() -> Check:
    """The cosine between what was and what is left is 1, to 1e-12.

    Source: equation (1): one factor for all entries
    """
    cosines = []
    for size in SIZES:
        given = _given(size)
        before = _together(given)
        clip_by_norm(given, 0.5)
        cosines.append(float(torch.cosine_similarity(before, _together(given), dim=0)))
    return about(min(cosines), 1.0, 1e-12)


def by_value_it_turns() -> Check:
    """Clipped by value to 0.5, the gradient (3, 0.1) is turned by 9.4 degrees, to 0.1.

    Source: equation (2): atan(0.1/0.5) - atan(0.1/3)
    """
    w = weights([0.0, 0.0])
    w.grad = before = torch.tensor([3.0, 0.1], dtype=torch.float64)
    clip_by_value([w], 0.5)
    assert w.grad is not None  # noqa: S101 - for the type checker
    ways = [math.degrees(math.atan2(float(g[1]), float(g[0]))) for g in (w.grad, torch.tensor([3.0, 0.1]))]
    return about(ways[0] - ways[1] if before is w.grad else math.nan, 9.4, 0.1)


def torchs_is_a_little_shorter() -> Check:
    """torch's gradients times (norm + 1e-6) / norm are these, to 1e-12; it leaves a norm that is below 2 by 1e-6 of 2.

    Source: torch.nn.utils.clip_grad_norm_
    """
    worst = 0.0
    for size in (1.0, 30.0, 1e8):
        ours, theirs = _given(size), _given(size)
        norm = float(clip_by_norm(ours, 2.0))
        torch.nn.utils.clip_grad_norm_(theirs, 2.0)
        worst = max(worst, float((_together(theirs) * (norm + 1e-6) / norm / _together(ours) - 1).abs().max()))
    return at_most(worst, 1e-12)


def one_bad_entry_ruins_no_other() -> Check:
    """The trap: with one infinite entry torch sets the 17 others to 0 and that one to nan; here 0 entries change.

    Source: c / inf = 0, and 0 inf = nan
    """
    ours, theirs = _given(1.0), _given(1.0)
    for given in (ours, theirs):
        _set(given[1], math.inf)
    before = _together(ours)
    clip_by_norm(ours, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    left = _together(theirs)
    assert int((left == 0).sum()) == 17 and int(left.isnan().sum()) == 1  # noqa: S101 - the other half of the claim
    return exactly(int((_together(ours) != before).sum()), 0)


def a_square_beyond_float32_is_no_infinity() -> Check:
    """float32 gradients of size 1e30, whose norm torch finds infinite, have the norm 1 after clipping to 1, to 1e-6.

    Source: 1e60 is beyond float32, 1e30 is not
    """
    given = _given(1e30, torch.float32)
    clip_by_norm(given, 1.0)
    return about(float(_together(given).norm()), 1.0, 1e-6)


def noise_without_a_variance_is_survived() -> Check:
    """On |w|^2/2 in 20 dimensions under Cauchy noise, 2000 clipped steps stay at least 100 times nearer at the worst.

    Source: Zhang et al. 2020, arXiv:1912.03194: clipping and heavy tails
    """
    return at_least(_furthest_out(clipped=False) / _furthest_out(clipped=True), 100.0)


def _set(w: Tensor, value: float) -> None:
    assert w.grad is not None  # noqa: S101 - for the type checker
    w.grad[0] = value


def _furthest_out(*, clipped: bool) -> float:
    draw, w, worst = generator(1, "cauchy"), weights([1.0] * 20), 0.0
    optimiser = SGD([w], lr=0.05)
    for _ in range(2000):
        w.grad = w.detach() + torch.empty(20, dtype=torch.float64).cauchy_(generator=draw)
        if clipped:
            clip_by_norm([w], 5.0)
        optimiser.step()
        worst = max(worst, float(w.detach().norm()))
    return worst


CARD = Card(
    name="Clipping by norm and by value",
    name_ja="勾配クリッピング (ノルム・値)",
    paper="Pascanu, Mikolov and Bengio 2013, On the difficulty of training recurrent neural networks, arXiv:1211.5063",
    equations=(
        r"g \leftarrow g\,\min(1, c/\|g\|)",
        r"g_i \leftarrow \min(\max(g_i, -c), c)",
    ),
    summary="Shortens a gradient that is too long: exactly, and only then; by norm it keeps its direction.",
    summary_ja="長すぎる勾配だけを正確に縮める。ノルムによるものは向きを保ち、値によるものは向きを変える。",
    topics=(),
    facts=(the_norm_afterwards_is_the_smaller, the_direction_is_the_same, by_value_it_turns, torchs_is_a_little_shorter,
           one_bad_entry_ruins_no_other, a_square_beyond_float32_is_no_infinity, noise_without_a_variance_is_survived),
    notes=("The norm is over all weights together; clipping each weight by its own norm turns the direction, too.",
           "With mixed precision, unscale the gradients first: c is in the unit of the loss.",
           "basics.gradient_clipping shows the cliff that it was invented for."),
    notes_ja=("ノルムはすべての重みをまとめたものである。重みごとのノルムで縮めると、やはり向きが変わる。",
              "混合精度では、先に勾配の倍率を元に戻す。c は損失の単位で決まる。",
              "これが考え出された理由である崖は basics.gradient_clipping にある。"),
)
