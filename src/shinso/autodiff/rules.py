r"""What a derivative rule is: five kinds, each an equation that holds for plain arrays and for recorded ones alike.

Let y = f(x_1, ..., x_n), let g be the gradient of some number with respect to y and t_i a direction in which x_i moves.
A rule answers two questions and no others: how does y move (forward mode, `push`), and what is the gradient with
respect to x_i (reverse mode, `pull`)? The two are transposes of each other, so one formula is enough:

    elementwise   dy = sum_i d_i t_i,              g_i = g d_i,  d_i = dy/dx_i          (1)
    linear        dy = f(t),                       g_x = f* g,   <f t, g> = <t, f* g>   (2)
    multilinear   dy = sum_i f(.., t_i, ..),       g_i = the adjoint of f in x_i        (3)
    reduction     dy = sum over the slice of d t,  g_x = g d,    d = dy/dx              (4)
    general       both maps are written down                                            (5)

Where an operation repeated values along an axis (broadcasting), the gradient sums over that axis (6).

Every formula is written with NumPy's own functions and operators. A Tensor answers those, so the same line of code
runs on ndarrays when first derivatives are enough, and on Tensors when the gradient itself is to be differentiated.

Wengert 1964 (push); Linnainmaa 1970 and Speelpenning 1980 (pull).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

Array = Any
"""an ndarray, a Tensor or a Python number: rules do not care which"""

RULES: dict[str, "Rule"] = {}
"""every rule by its name; the table that tests walk"""


class Rule(ABC):
    """One operation: its name, its equation as text, what it computes, and its derivative.

    `keeps` names the values that the derivative reads: "x" (the inputs), "y" (the output), "xy", or "" (shapes alone).
    Calling the rule applies it: to ndarrays plainly, to Tensors with a record of what was done.

    `noted`, where given, computes f together with a note, (y, note): what the derivative would else compute again. A
    pull of the first order finds the note behind the params.
    """

    __slots__ = ("equation", "f", "fresh", "into", "keeps", "name", "noted", "view")

    def __init__(self, name: str, f: Callable[..., Any], equation: str, keeps: str = ""):
        self.name, self.f, self.equation, self.keeps = name, f, equation, keeps
        self.view = False
        self.fresh = False
        self.into: tuple[Callable[..., Any] | None, ...] = ()
        self.noted: Callable[..., tuple[Any, Any]] | None = None
        RULES[name] = self

    def __call__(self, *inputs: Array) -> Any:
        return self.on(inputs)

    def on(self, inputs: Sequence[Array], params: tuple = ()) -> Any:
        """f(*inputs, *params); recorded where one of the inputs is a Tensor."""
        for x in inputs:
            apply = getattr(x, "apply", None)
            if apply is not None:
                return apply(self, inputs, params)
        return self.f(*inputs, *params)

    @abstractmethod
    def pull(self, i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
        """The gradient with respect to input i, given the gradient g with respect to y."""

    @abstractmethod
    def push(self, ts: Sequence[Array | None], y: Array, xs: Sequence[Array], params: tuple) -> Array:
        """The direction in which y moves when the inputs move in the directions ts; None: an input stands still."""

    def local(self, i: int, y: Array, xs: Sequence[Array], params: tuple) -> Array | None:
        """dy/dx_i entry by entry where that exists, else None."""
        return None


class Elementwise(Rule):
    """(1): every entry of y depends on the entries of the inputs at the same place.

    `d` holds one function d_i(y, *inputs, *params) for each input, or the number 1 or -1, or None where y has no
    derivative with respect to that input.
    """

    __slots__ = ("d",)

    def __init__(self, name: str, f: Callable[..., Any], d: Sequence[Any], equation: str, keeps: str = ""):
        super().__init__(name, f, equation, keeps)
        self.d = tuple(d)

    def pull(self, i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
        d = self.d[i]
        if d is None:
            return None
        if callable(d):
            g = g * d(y, *xs, *params)  # (1)
        elif d == -1:
            g = -g
        shape = xs[i].shape
        return g if g.shape == shape else sum_to(g, shape)

    def push(self, ts: Sequence[Array | None], y: Array, xs: Sequence[Array], params: tuple) -> Array:
        total = None
        for i, t in enumerate(ts):
            if t is None or self.d[i] is None:
                continue
            d = self.d[i]
            part = t * (d(y, *xs, *params) if callable(d) else d)
            total = part if total is None else total + part
        if total is None:
            return None
        return total if total.shape == y.shape else broadcast_to(total, y.shape)

    def local(self, i: int, y: Array, xs: Sequence[Array], params: tuple) -> Array | None:
        d = self.d[i]
        if d is None:
            return None
        value = d(y, *xs, *params) if callable(d) else d
        return np.broadcast_to(np.asarray(value), np.shape(y))


class Linear(Rule):
    """(2): f is linear in each input separately taken together; `adjoint(i, g, xs, params)` is the transposed map.

    Several inputs (concatenate, stack) share one f; a direction that is None counts as zero.
    """

    __slots__ = ("adjoint",)

    def __init__(self, name: str, f: Callable[..., Any], adjoint: Callable[..., Any], equation: str,
                 *, view: bool = False):
        super().__init__(name, f, equation)
        self.adjoint, self.view = adjoint, view

    def pull(self, i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
        return self.adjoint(i, g, xs, params)  # (2)

    def push(self, ts: Sequence[Array | None], y: Array, xs: Sequence[Array], params: tuple) -> Array:
        return self.on([np.zeros(x.shape, x.dtype) if t is None else t for t, x in zip(ts, xs, strict=True)], params)


class Multilinear(Rule):
    """(3): f is linear in every input while the others stand still; `adjoints[i](g, xs, params)` transposes it in x_i.

    `into`, where given, does the same with a buffer to write to: it serves the first order alone.
    """

    __slots__ = ("adjoints",)

    def __init__(self, name: str, f: Callable[..., Any], adjoints: Sequence[Callable[..., Any]], equation: str,
                 into: Sequence[Callable[..., Any] | None] = ()):
        super().__init__(name, f, equation, "x")
        self.adjoints, self.into = tuple(adjoints), tuple(into)
        self.fresh = True

    def pull(self, i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
        return self.adjoints[i](g, xs, params)  # (3)

    def push(self, ts: Sequence[Array | None], y: Array, xs: Sequence[Array], params: tuple) -> Array:
        total = None
        for i, t in enumerate(ts):
            if t is not None:
                part = self.on([t if j == i else x for j, x in enumerate(xs)], params)
                total = part if total is None else total + part
        return total


class Reduction(Rule):
    """(4): every entry of y depends on one slice of x, along params[0] (axis) and with params[1] (keepdims).

    `d(y, x, *params)` is dy/dx in the shape of x, with y already in a shape that broadcasts against x; a plain number
    is allowed where the derivative is the same everywhere.
    """

    __slots__ = ("d",)

    def __init__(self, name: str, f: Callable[..., Any], d: Callable[..., Any], equation: str, keeps: str = ""):
        super().__init__(name, f, equation, keeps)
        self.d = d

    def pull(self, i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
        x = xs[0]
        kept = _kept(x.shape, params[0])
        d = self.d(y.reshape(kept) if self.keeps else y, *xs, *params)
        g = g.reshape(kept) if g.shape != kept else g
        if isinstance(d, (int, float)):  # the same everywhere: nothing of the size of x is written
            return broadcast_to(g if d == 1 else g * d, x.shape)
        return g * d  # (4)

    def push(self, ts: Sequence[Array | None], y: Array, xs: Sequence[Array], params: tuple) -> Array:
        kept = _kept(xs[0].shape, params[0])
        t = ts[0] * self.d(y.reshape(kept) if self.keeps else y, *xs, *params)
        return total(t, params[0], keepdims=params[1])


class General(Rule):
    """(5): neither map follows from the other by a pattern; both are given, with the signatures of Rule."""

    __slots__ = ("_pull", "_push")

    def __init__(self, name: str, f: Callable[..., Any], pull: Callable[..., Any], push: Callable[..., Any],
                 equation: str, keeps: str):
        super().__init__(name, f, equation, keeps)
        self._pull, self._push = pull, push

    def pull(self, i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
        return self._pull(i, g, y, xs, params)

    def push(self, ts: Sequence[Array | None], y: Array, xs: Sequence[Array], params: tuple) -> Array:
        return self._push(ts, y, xs, params)


def _kept(shape: tuple[int, ...], axis: Any) -> tuple[int, ...]:
    """The shape after a reduction that keeps its axes with length one."""
    if axis is None:
        return (1,) * len(shape)
    axes = {a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)}
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def count(shape: tuple[int, ...], axis: Any) -> int:
    """How many entries of an array of this shape one entry of the reduced array stands for."""
    if axis is None:
        return prod(shape)
    return prod(shape[a] for a in ((axis,) if isinstance(axis, int) else axis))


def _sum_to(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    lead = g.ndim - len(shape)
    axes = (*range(lead), *(i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1))
    return np.add.reduce(g, axis=axes).reshape(shape) if axes else g.reshape(shape)


_SUM_TO = Linear("sum_to", _sum_to, lambda i, g, xs, params: broadcast_to(g, xs[0].shape),
                 "y = the sum of x over the axes that broadcasting added; g_x = g repeated along them")
_BROADCAST = Linear("broadcast_to", np.broadcast_to, lambda i, g, xs, params: sum_to(g, xs[0].shape),
                    "y = x repeated along new axes; g_x = the sum of g over them", view=True)
SUM = Reduction("sum", lambda x, axis, keepdims: np.add.reduce(x, axis=axis, keepdims=keepdims),
                lambda y, x, axis, keepdims: 1, "y = sum_j x_j; dy/dx_j = 1")


def sum_to(g: Array, shape: tuple[int, ...]) -> Array:
    """(6): the sum of g over the axes along which `shape` was repeated; the result has that shape."""
    return g if g.shape == shape else _SUM_TO.on((g,), (shape,))


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """x repeated to `shape`, without a copy."""
    return x if x.shape == shape else _BROADCAST.on((x,), (shape,))


def total(x: Array, axis: Any = None, *, keepdims: bool = False) -> Array:
    """The sum of x over `axis` (None: over all of them)."""
    return SUM.on((x,), (axis, keepdims))
