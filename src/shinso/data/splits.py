"""Disjoint parts of a data set: stratified splits and folds, the same for the same seed on every machine."""

from collections.abc import Sequence

import torch
from torch import Tensor

from shinso.data.hashing import uniforms


def stratified(targets: Tensor, fractions: Sequence[float], seed: int) -> list[Tensor]:
    """Indices of parts that are disjoint and complete, in ascending order; every class is shared out alike.

    Part sizes are `round(n * fraction)`, the last part takes what remains; a class's share in a part differs from
    the exact proportion by less than two examples.
    """
    if abs(sum(fractions) - 1) > 1e-9 or min(fractions) < 0:
        raise ValueError(f"fractions must be non-negative and sum to 1, not {tuple(fractions)}")
    n = len(targets)
    left, parts = _by_class(targets, seed), []
    for fraction in fractions[:-1]:
        wanted = min(round(n * fraction), len(left))
        rank = torch.arange(len(left))
        chosen = (rank + 1) * wanted // max(1, len(left)) > rank * wanted // max(1, len(left))
        parts.append(left[chosen].sort().values)
        left = left[~chosen]
    return [*parts, left.sort().values]


def kfold(n: int, k: int, seed: int, targets: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
    """k pairs (training indices, held-out indices): held-out parts are disjoint, complete, and differ by at most one.

    With `targets` (n,) the classes, too, are shared out to within one example.
    """
    if not 2 <= k <= n:
        raise ValueError(f"k must be between 2 and n = {n}, not {k}")
    order = _by_class(torch.zeros(n, dtype=torch.int64) if targets is None else targets, seed)
    fold = torch.empty(n, dtype=torch.int64)
    fold[order] = torch.arange(n) % k
    return [((fold != i).nonzero()[:, 0], (fold == i).nonzero()[:, 0]) for i in range(k)]


def _by_class(targets: Tensor, seed: int) -> Tensor:
    """Indices sorted by class, and within a class by a hash of (seed, index)."""
    shuffled = uniforms(torch.arange(len(targets)), 1, seed=seed, epoch=0)[:, 0].argsort(stable=True)
    return shuffled[targets[shuffled].argsort(stable=True)]
