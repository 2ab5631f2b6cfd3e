"""Fields of whatever is computed from a picture, followed from operation to operation, modules or not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil
from typing import Any, cast, final

from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from shinso.inside.watching import AbstractWatch


@dataclass(frozen=True)
class Field:
    """What the units of a layer see along one side of the picture, in pixels."""

    size: float = 1
    jump: float = 1
    """from one unit's field to the next one's; 0: there is but one field"""
    start: float = 0
    """first pixel of the first unit's field"""

    def through(self, window: int, stride: float = 1, padding: int = 0, dilation: int = 1) -> "Field":
        """size + (k - 1) d jump, jump s, start - p jump."""
        return Field(self.size + (window - 1) * dilation * self.jump, self.jump * stride,
                     self.start - padding * self.jump)

    def back_through(self, window: int, stride: int, padding: int) -> "Field":
        """A transposed convolution: a unit sees ceil(window / stride) units of the layer before, at most.

        Fields then step in turns by 0 and by a whole jump; `jump` is their mean, and what follows is right to one step.
        """
        first = ceil((padding - (window - 1)) / stride)
        size = self.size + (ceil(window / stride) - 1) * self.jump
        return Field(size, self.jump / stride, self.start + first * self.jump)

    def whole(self, places: int) -> "Field":
        """One field over all n places: size + (n - 1) jump."""
        return Field(self.size + (places - 1) * self.jump, 0, self.start)

    def joined(self, other: "Field") -> "Field":
        """The smallest field that holds both, unit by unit; one that has but one field makes it one."""
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Field(end - start, self.jump if other.jump else 0, start)

    def pixels(self, place: int, side: int) -> tuple[int, int]:
        """Begin and end (exclusive) of what unit `place` sees of a picture with `side` pixels."""
        begin = self.start + place * self.jump
        return max(0, int(begin)), min(side, int(begin + self.size))


Fields = tuple[Field, Field]
"""along height and width"""


@final
class Following(AbstractWatch):
    """Inside, the fields of whatever is computed from `picture` are known."""

    def __init__(self, picture: Tensor):
        super().__init__()
        self.fields: Any = WeakTensorKeyDictionary()
        """tensor -> Fields"""
        self.fields[picture] = (Field(), Field())

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        entering = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf in self.fields]
        before = [self.fields[x] for x in entering]
        sides = [tuple(x.shape[-2:]) for x in entering]
        output = func(*args, **(kwargs or {}))
        if entering:
            rule = RULES.get(func.overloadpacket.__name__)
            for y in tree_leaves(output):
                if isinstance(y, Tensor):
                    known = rule(before[0], args, y) if rule and entering[0].dim() >= 3 else None
                    self.fields[y] = known or _met(before, sides, tuple(y.shape[-2:]))
        return output


def _met(before: Sequence[Fields], sides: Sequence[tuple[int, ...]], after: tuple[int, ...]) -> Fields:
    """Place by place where the places are the same; what has other places is seen whole, for example through a gate."""
    parts = [fields if side == after else tuple(f.whole(n) for f, n in zip(fields, side, strict=False))
             for fields, side in zip(before, sides, strict=True)]
    height, width = (reduce(Field.joined, (part[axis] for part in parts)) for axis in (0, 1))
    return height, width


Rule = Callable[[Fields, Sequence[Any], Tensor], Fields | None]
"""of the fields before, the operation's arguments and its output"""


def _convolved(before: Fields, args: Sequence[Any], output: Tensor) -> Fields | None:
    _, weight, _, stride, padding, dilation, transposed = args[:7]
    if weight.dim() != 4:
        return None
    s, p, d = (_pair(value) for value in (stride, padding, dilation))
    if transposed:
        return _each(lambda i: before[i].back_through((weight.shape[2 + i] - 1) * d[i] + 1, s[i], p[i]))
    return _each(lambda i: before[i].through(weight.shape[2 + i], s[i], p[i], d[i]))


def _pooled(before: Fields, args: Sequence[Any], output: Tensor) -> Fields:
    window, padding = _pair(args[1]), _pair(args[3] if len(args) > 3 else 0)
    stride = _pair(args[2]) if len(args) > 2 and args[2] else window
    return _each(lambda i: before[i].through(window[i], stride[i], padding[i]))


def _adapted(before: Fields, args: Sequence[Any], output: Tensor) -> Fields:
    def one(i: int) -> Field:
        entering, leaving = args[0].shape[i - 2], output.shape[i - 2]
        if leaving == 1:
            return before[i].whole(entering)
        more = 0 if entering % leaving == 0 else 1
        return before[i].through(ceil(entering / leaving) + more, entering / leaving)

    return _each(one)


def _sliced(before: Fields, args: Sequence[Any], output: Tensor) -> Fields | None:
    x: Tensor = args[0]
    dim, start, _, step = cast(tuple[int, int | None, int | None, int], (*args[1:], *(0, 0, None, 1)[len(args) - 1:]))
    axis = dim % x.dim() - (x.dim() - 2)
    if axis < 0:
        return before
    first = (start or 0) % max(1, x.shape[dim])
    return _each(lambda i: before[i].through(1, step, -first) if i == axis else before[i])


def _padded(before: Fields, args: Sequence[Any], output: Tensor) -> Fields:
    left, top = args[1][0], args[1][2] if len(args[1]) > 2 else 0
    return before[0].through(1, 1, top), before[1].through(1, 1, left)


def _enlarged(before: Fields, args: Sequence[Any], output: Tensor) -> Fields:
    return _each(lambda i: Field(before[i].size, before[i].jump * args[0].shape[i - 2] / output.shape[i - 2],
                                 before[i].start))


def _interpolated(before: Fields, args: Sequence[Any], output: Tensor) -> Fields:
    return _each(lambda i: _enlarged(before, args, output)[i].joined(before[i].through(2)))


RULES: dict[str, Rule] = {
    "convolution": _convolved, "max_pool2d_with_indices": _pooled, "avg_pool2d": _pooled,
    "_adaptive_avg_pool2d": _adapted, "adaptive_max_pool2d": _adapted, "slice": _sliced, "constant_pad_nd": _padded,
    "reflection_pad2d": _padded, "replication_pad2d": _padded, "upsample_nearest2d": _enlarged,
    "upsample_bilinear2d": _interpolated,
}  # fmt: skip
"""operations that move places; all others keep them or gather them"""


def _each(one: Callable[[int], Field]) -> Fields:
    return one(0), one(1)


def _pair(value: int | Sequence[int]) -> Sequence[int]:
    given = (value,) if isinstance(value, int) else value
    return given if len(given) == 2 else (given[0], given[0])
