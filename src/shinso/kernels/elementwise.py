"""One update rule over many tensors, entry by entry, in one pass over memory.

(1)  w, s = rule(w, sign * g + decay * w, s, h)

for every entry of every tensor. A rule is a small function of a weight, its gradient, a tuple of states and a tuple of
numbers that returns the new weight and the new states. It is written with + - * /, comparisons and the words below; on
tensors they are torch's, in the native form they are those of one number. It holds no literal: a constant stands among
the numbers, which come in the weight's own type.
"""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from operator import attrgetter, is_
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shinso.kernels.native import native, plain_only

Rule = Callable[[Any, Any, tuple[Any, ...], tuple[Any, ...]], tuple[Any, tuple[Any, ...]]]
Columns = Sequence[list[Tensor]]
"""weights, gradients, then one list for each state: tensor i of each has the shape of weight i"""


def sqrt(x: Any) -> Any:
    """The root; nan below 0."""
    return torch.sqrt(x)


def absolute(x: Any) -> Any:
    """The size without the sign."""
    return torch.abs(x)


def sign(x: Any) -> Any:
    """-1, 0 or 1."""
    return torch.sign(x)


def maximum(x: Any, y: Any) -> Any:
    """The larger of an entry and an entry or number; nan where one of them is."""
    return torch.maximum(x, y) if isinstance(y, Tensor) else x.clamp(min=y)


def minimum(x: Any, y: Any) -> Any:
    """The smaller of an entry and an entry or number; nan where one of them is."""
    return torch.minimum(x, y) if isinstance(y, Tensor) else x.clamp(max=y)


def where(condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, y elsewhere; both are worked out."""
    return torch.where(condition, x, y)


class Places:
    """Where the tensors of one update lie in memory, looked through again only when one of them has moved.

    Gradients come and go: they are looked through every time and not held, unless the caller `keeps` them itself.
    """

    def __init__(self, *, keeps: bool = False):
        self.keeps, self.found = keeps, False
        self.columns: list[list[Tensor]] = []
        self.table = self.rows = np.empty((0, 2), np.int64)
        self.first = np.empty(0, np.int64)
        self.sizes = np.empty(0, np.int64)
        self.entries: list[int] = []
        self.contiguous = False
        self.dtype, self.device = torch.float32, torch.device("cpu")

    def find(self, columns: Columns) -> bool:
        """Reads all addresses; False where the native form cannot take these tensors as they are."""
        weights, before = columns[0], self.columns
        if set(map(len, columns)) != {len(weights)}:
            return False
        same = [len(before) == len(columns) and len(old) == len(weights) and all(map(is_, column, old))
                for column, old in zip_longest(columns, before, fillvalue=())]
        self.columns = []
        looked = [held and same[0] for held in same]
        if not looked[0] and not self._know(weights):
            return False
        if not all(self._fits(weights, column) for column, done in zip(columns, looked, strict=False) if not done):
            return False
        table = np.empty((len(weights), len(columns)), np.int64)
        for j, column in enumerate(columns):
            table[:, j] = list(map(Tensor.data_ptr, column))
        moved = (table != self.table).any(0) if table.shape == self.table.shape else np.ones(len(columns), bool)
        if moved.any() or not same[0]:
            again = [column for column, went, done in zip(columns, moved, looked, strict=False) if went and done]
            if moved[0] and not self._know(weights):
                return False
            if not all(self._fits(weights, column) for column in (columns if moved[0] else again)):
                return False
            self.table = table
            self._join(np.array(self.entries, np.int64))
        self.columns, self.found = [list(column) for column in columns], True
        if not self.keeps:
            self.columns[1] = []
        return True

    def _know(self, weights: list[Tensor]) -> bool:
        """Takes down how many entries the weights have; False for types other than float32 and float64."""
        self.entries, self.dtype, self.device = list(map(Tensor.numel, weights)), weights[0].dtype, weights[0].device
        self.contiguous = self.dtype in (torch.float32, torch.float64) and all(map(Tensor.is_contiguous, weights))
        return self.dtype in (torch.float32, torch.float64)

    def _fits(self, weights: list[Tensor], column: list[Tensor]) -> bool:
        """Dense tensors of the weights' type, place and sizes, in the order in memory that the weights have."""
        if set(map(type, column)) <= _KINDS and set(map(_layout, column)) == {torch.strided} and (
                set(map(_dtype, column)) == {self.dtype} and self._here(column)
                and not any(map(Tensor.is_neg, column)) and list(map(Tensor.numel, column)) == self.entries):
            if self.contiguous and all(map(Tensor.is_contiguous, column)):
                return True
            return all(map(_laid_out_alike, weights, column))
        return False

    def _here(self, column: list[Tensor]) -> bool:
        return all(map(_is_cpu, column)) if self.device.type == "cpu" else set(map(_device, column)) == {self.device}

    def _join(self, sizes: np.ndarray) -> None:
        """One row for neighbours: tensors that follow each other without a gap in every column are one."""
        step = sizes[:-1, None] * self.dtype.itemsize
        begins = np.ones(len(sizes), bool)
        begins[1:] = (self.table[1:] - self.table[:-1] != step).any(1)
        self.first = np.flatnonzero(begins)
        self.rows, self.sizes = np.ascontiguousarray(self.table[self.first]), np.add.reduceat(sizes, self.first)

    def vectors(self, columns: Columns) -> list[list[Tensor]]:
        """Each row as one vector for every column, over the columns that were found."""
        return [[column[i].as_strided((size,), (1,)) for column in columns]
                for i, size in zip(self.first.tolist(), self.sizes.tolist(), strict=True)]


def update(rule: Rule, columns: Columns, numbers: tuple[float, ...], turn: tuple[float, float],
           places: Places | None = None) -> None:
    """(1) in place; `turn` is (sign, decay). A caller that keeps `places` is spared most of the looking.

    One that has called `places.find` with these columns just now is spared all of it.
    `rule` is a function of a module. Gradients are only read.
    """
    found = places or Places()
    kernel = None
    if columns[0] and not torch.compiler.is_compiling():
        kernel = form(columns[0][0].device, flat=found.keeps)
    if kernel is None or not (found.found or found.find(columns)):
        update_plain(rule, columns, numbers, turn)
    else:
        found.found = False
        kernel.run(rule, found, columns, numbers, turn)


def form(device: torch.device, *, flat: bool) -> ModuleType | None:
    """What makes one pass there: Numba's loop for the CPU; for tensors laid end to end on CUDA, torch's compiler."""
    if device.type == "cpu":
        return native("elementwise")
    if device.type != "cuda" or not flat or plain_only():
        return None
    from shinso.kernels import elementwise_compiled

    return elementwise_compiled


def update_plain(rule: Rule, columns: Columns, numbers: tuple[float, ...], turn: tuple[float, float],
                 places: Places | None = None) -> None:
    """(1) by tensor operations, one tensor after the other; complex tensors as pairs of real ones."""
    sign_of, decay = turn
    for entries in zip(*columns, strict=True):
        w, g, *states = [torch.view_as_real(t) if t.is_complex() else t for t in entries]
        g = g if sign_of > 0 else -g
        y, after = rule(w, g + decay * w if decay else g, tuple(states), numbers)
        for old, new in zip((w, *states), (y, *after), strict=True):
            old.copy_(new)


_KINDS = {Tensor, torch.nn.Parameter}
_dtype, _layout, _device, _is_cpu = map(attrgetter, ("dtype", "layout", "device", "is_cpu"))


def in_order(weights: list[Tensor], grads: list[Tensor]) -> list[Tensor]:
    """Gradients in the order in memory that their weights have: themselves, or a copy where that is another."""
    return [g if g.layout != torch.strided or _laid_out_alike(w, g) else torch.empty_like(w, dtype=g.dtype).copy_(g)
            for w, g in zip(weights, grads, strict=True)]


def _laid_out_alike(weight: Tensor, other: Tensor) -> bool:
    """Whether both lie in memory in the same order, and densely."""
    if weight.is_contiguous() and other.is_contiguous():
        return True
    return other.stride() == weight.stride() and torch.empty_like(weight).stride() == weight.stride()
