"""Live oracles: a claim is compared with a second, independent computation, never with a stored number."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shinso.core.record import plain


def agree(ours: Callable[..., Tensor], theirs: Callable[..., Tensor], *args: Tensor, within: float = 1e-12,
          double: bool = False) -> None:
    """Asserts equal values, equal gradients for every floating argument and, if asked, equal second derivatives."""
    mine, other = ([a.detach().clone().requires_grad_(a.is_floating_point()) for a in args] for _ in range(2))
    a, b = ours(*mine), theirs(*other)
    torch.testing.assert_close(a, b, rtol=within, atol=within)
    weights = torch.linspace(-1, 1, a.numel(), dtype=a.dtype).view_as(a)
    first = [torch.autograd.grad((out * weights).sum(), [x for x in given if x.requires_grad], create_graph=double)
             for out, given in ((a, mine), (b, other))]
    for x, y in zip(*first, strict=True):
        torch.testing.assert_close(x, y, rtol=within, atol=within)
    if double:
        second = [torch.autograd.grad(sum(g.square().sum() for g in grads), [x for x in given if x.requires_grad])
                  for grads, given in zip(first, (mine, other), strict=True)]
        for x, y in zip(*second, strict=True):
            torch.testing.assert_close(x, y, rtol=within, atol=within)


def records(program: Any, start: int = 0, stop: int | None = None) -> list[dict[str, float]]:
    """The plain records of steps `start` to `stop` (the program's total if None)."""
    return [plain(program.step(i)) for i in range(start, program.total if stop is None else stop)]


def same_tree(a: Any, b: Any) -> bool:
    """Whether two state trees are equal, bit by bit and type by type; dicts of any kind, in any order, NaN as NaN."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same_tree(a[name], b[name]) for name in a)
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same_tree(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bits(a), _bits(b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (a != a and b != b)


def _bits(x: Tensor) -> Tensor:
    return x.detach().cpu().contiguous().flatten().view(torch.uint8) if x.numel() else x.detach().cpu().flatten()
