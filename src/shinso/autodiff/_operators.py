"""What a Tensor answers to: the operators and methods that an ndarray has, each one rule applied.

Kept apart from `tensor.py` so that the engine itself stays short. Reading comparisons gives plain boolean arrays: they
have no derivative.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from shinso.autodiff import rules_elementwise as entry
from shinso.autodiff import rules_products as products
from shinso.autodiff import rules_reductions as reductions
from shinso.autodiff import rules_shapes as moves
from shinso.autodiff._tape import MODE, shapes
from shinso.autodiff.rules import SUM, Array, Rule, broadcast_to
from shinso.core.errors import UserError


def operand(x: Any) -> Any:
    """A second operand as rules take it: a Tensor, an ndarray, or a Python number (which never widens a type)."""
    if isinstance(x, np.generic):
        return x.item()
    return x if isinstance(x, (Operators, np.ndarray, float, int)) else np.asarray(x)


def plain(x: Any) -> Any:
    """The ndarray inside of a Tensor; anything else as it is."""
    return x.data if isinstance(x, Operators) else x


def _key(key: Any) -> Any:
    """An index without Tensors and lists inside."""
    if isinstance(key, tuple):
        return tuple(_key(k) for k in key)
    return np.asarray(key) if isinstance(key, list) else plain(key)


def _axis(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


class Operators:
    """Operators and methods of ndarray; what `apply` does with a rule is the Tensor's."""

    __slots__ = ()
    __hash__ = object.__hash__
    data: np.ndarray
    requires_grad: bool
    version: list[int]

    apply: ClassVar[Callable[..., Any]]
    """(rule, inputs, params) -> what the rule gives, recorded"""

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """NumPy's functions: np.exp(tensor) is exp(tensor)."""
        simple = method == "__call__" and not options
        if simple and ufunc in COMPARISONS:
            return ufunc(*[plain(x) for x in inputs])
        rule = _UFUNCS.get(ufunc) if simple else None
        if rule is None:
            raise UserError(f"np.{ufunc.__name__}", f"no rule for this function of tensors of shapes {shapes(inputs)}",
                            "use shinso.autodiff.functions, or tensor.data where no gradient is needed")
        return self.apply(rule, [operand(x) for x in inputs])

    def __array_function__(self, function: Any, types: Any, args: tuple, options: dict) -> Any:
        """The same for NumPy's functions that are no ufuncs: np.where, np.sum, np.concatenate ..."""
        ours = FUNCTIONS.get(function)
        if ours is None:
            raise UserError(f"np.{function.__name__}", "no rule for this function of tensors",
                            "use shinso.autodiff.functions, or tensor.data where no gradient is needed")
        return ours(*args, **options)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self.data)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __add__(self, other: Any) -> Any:
        return self.apply(entry.add, (self, operand(other)))

    def __radd__(self, other: Any) -> Any:
        return self.apply(entry.add, (operand(other), self))

    def __sub__(self, other: Any) -> Any:
        return self.apply(entry.subtract, (self, operand(other)))

    def __rsub__(self, other: Any) -> Any:
        return self.apply(entry.subtract, (operand(other), self))

    def __mul__(self, other: Any) -> Any:
        return self.apply(entry.multiply, (self, operand(other)))

    def __rmul__(self, other: Any) -> Any:
        return self.apply(entry.multiply, (operand(other), self))

    def __truediv__(self, other: Any) -> Any:
        return self.apply(entry.divide, (self, operand(other)))

    def __rtruediv__(self, other: Any) -> Any:
        return self.apply(entry.divide, (operand(other), self))

    def __matmul__(self, other: Any) -> Any:
        return self.apply(products.matmul, (self, operand(other)))

    def __rmatmul__(self, other: Any) -> Any:
        return self.apply(products.matmul, (operand(other), self))

    def __pow__(self, other: Any) -> Any:
        other = operand(other)
        if isinstance(other, (float, int)):
            return self.apply(entry.square, (self,)) if other == 2 else self.apply(entry.power_by, (self,), (other,))
        return self.apply(entry.power, (self, other))

    def __rpow__(self, other: Any) -> Any:
        return self.apply(entry.power, (operand(other), self))

    def __neg__(self) -> Any:
        return self.apply(entry.negative, (self,))

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self.apply(entry.absolute, (self,))

    def __getitem__(self, key: Any) -> Any:
        return self.apply(moves.getitem, (self,), (_key(key),))

    # In place

    def _write(self, what: str, other: Any) -> bool:
        """Whether to change the values in place; False: record a new tensor instead. Raises where neither is right."""
        needs = MODE.recording and (self.requires_grad or getattr(other, "requires_grad", False))
        leaf = self.requires_grad and not getattr(self, "inputs", ())
        if needs and (leaf or what == "item assignment"):
            raise UserError(what, f"a tensor of shape {self.data.shape} in a graph cannot be changed in place by one "
                            f"of shape {np.shape(plain(other))}",
                            "work inside no_grad(), or build a new tensor with where, concatenate or x = x + ...")
        return not needs

    def _change(self, ufunc: Any, name: str, other: Any) -> Any:
        try:
            ufunc(self.data, plain(other), out=self.data)
        except (ValueError, TypeError) as error:
            raise UserError(name, f"shapes {shapes((self, other))} do not fit in place ({error})",
                            "write x = x + ... for a result of another shape or type") from error
        self.version[0] += 1
        return self

    def __iadd__(self, other: Any) -> Any:
        return self._change(np.add, "in-place add", other) if self._write("in-place add", other) else self + other

    def __isub__(self, other: Any) -> Any:
        return (self._change(np.subtract, "in-place subtract", other) if self._write("in-place subtract", other)
                else self - other)

    def __imul__(self, other: Any) -> Any:
        return (self._change(np.multiply, "in-place multiply", other) if self._write("in-place multiply", other)
                else self * other)

    def __itruediv__(self, other: Any) -> Any:
        return (self._change(np.true_divide, "in-place divide", other) if self._write("in-place divide", other)
                else self / other)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._write("item assignment", value)
        try:
            self.data[_key(key)] = plain(value)
        except (ValueError, IndexError) as error:
            raise UserError("item assignment", f"shapes {shapes((self, value))} do not fit ({error})",
                            "give a value of the shape of the part that is assigned") from error
        self.version[0] += 1

    # Comparisons: plain arrays

    def __eq__(self, other: object) -> Any:
        return np.equal(self.data, plain(other))

    def __ne__(self, other: object) -> Any:
        return np.not_equal(self.data, plain(other))

    def __lt__(self, other: Any) -> Any:
        return self.data < plain(other)

    def __le__(self, other: Any) -> Any:
        return self.data <= plain(other)

    def __gt__(self, other: Any) -> Any:
        return self.data > plain(other)

    def __ge__(self, other: Any) -> Any:
        return self.data >= plain(other)

    def argmax(self, axis: int | None = None) -> Any:
        """The places of the largest entries, a plain array."""
        return np.argmax(self.data, axis)

    # Methods of ndarray

    def sum(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """The sum over `axis`."""
        return self.apply(SUM, (self,), (_axis(axis), keepdims))

    def mean(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """The mean over `axis`."""
        return self.apply(reductions.mean, (self,), (_axis(axis), keepdims))

    def max(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """The largest entry along `axis`; equal ones share the gradient."""
        return self.apply(reductions.amax, (self,), (_axis(axis), keepdims))

    def min(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """The smallest entry along `axis`; equal ones share the gradient."""
        return self.apply(reductions.amin, (self,), (_axis(axis), keepdims))

    def prod(self, axis: Any = None, *, keepdims: bool = False) -> Any:
        """The product over `axis`."""
        return self.apply(reductions.prod, (self,), (_axis(axis), keepdims))

    def var(self, axis: Any = None, ddof: int = 0, *, keepdims: bool = False) -> Any:
        """The variance along `axis`, divided by n - ddof."""
        return self.apply(reductions.var, (self,), (_axis(axis), keepdims, ddof))

    def std(self, axis: Any = None, ddof: int = 0, *, keepdims: bool = False) -> Any:
        """The square root of the variance."""
        return self.apply(entry.sqrt, (self.var(axis, ddof, keepdims=keepdims),))

    def cumsum(self, axis: int = 0) -> Any:
        """Running sums along `axis`."""
        return self.apply(moves.cumsum, (self,), (axis,))

    def clip(self, low: float | None = None, high: float | None = None) -> Any:
        """The entries brought into [low, high]."""
        return self.apply(entry.clip, (self,), (low, high))

    def reshape(self, *shape: Any) -> Any:
        """The same entries in another shape; -1 is found."""
        new = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self.apply(moves.reshape, (self,), (new,))

    def transpose(self, *axes: Any) -> Any:
        """The axes in another order; reversed if none are given."""
        axes = tuple(axes[0]) if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return self.apply(moves.transpose, (self,), (axes or tuple(range(self.data.ndim))[::-1],))

    def swapaxes(self, a: int, b: int) -> Any:
        """Two axes exchanged."""
        return self.apply(moves.swapaxes, (self,), (a, b))

    def squeeze(self, axis: Any = None) -> Any:
        """Without the axes of length one."""
        return self.reshape(np.squeeze(self.data, axis).shape)

    def astype(self, dtype: Any) -> Any:
        """The entries in another floating type."""
        return self.apply(moves.astype, (self,), (np.dtype(dtype),))

    @property
    def T(self) -> Any:
        """The axes reversed."""
        return self.transpose()


def _joined(rule: Rule, parts: Sequence[Array], axis: int) -> Any:
    """concatenate and stack: the parts are inputs of their own."""
    return rule.on([x if isinstance(x, Operators) else np.asarray(x) for x in parts], (axis,))


COMPARISONS = frozenset({np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isnan,
                         np.isfinite, np.isinf, np.logical_not, np.logical_and, np.logical_or, np.signbit})
"""NumPy's functions that answer yes or no: of tensors too they give plain arrays"""

_UFUNCS = {**entry.UFUNCS, np.matmul: products.matmul}

FUNCTIONS = {
    np.where: lambda c, a, b: entry.where.on((plain(c), operand(a), operand(b))),
    np.sum: lambda x, axis=None, keepdims=False: x.sum(axis, keepdims=keepdims),
    np.mean: lambda x, axis=None, keepdims=False: x.mean(axis, keepdims=keepdims),
    np.max: lambda x, axis=None, keepdims=False: x.max(axis, keepdims=keepdims),
    np.min: lambda x, axis=None, keepdims=False: x.min(axis, keepdims=keepdims),
    np.prod: lambda x, axis=None, keepdims=False: x.prod(axis, keepdims=keepdims),
    np.var: lambda x, axis=None, ddof=0, keepdims=False: x.var(axis, ddof, keepdims=keepdims),
    np.std: lambda x, axis=None, ddof=0, keepdims=False: x.std(axis, ddof, keepdims=keepdims),
    np.reshape: lambda x, shape: x.reshape(shape),
    np.transpose: lambda x, axes=None: x.transpose(*(axes or ())),
    np.swapaxes: lambda x, a, b: x.swapaxes(a, b),
    np.broadcast_to: broadcast_to,
    np.concatenate: lambda parts, axis=0: _joined(moves.concatenate, parts, axis),
    np.stack: lambda parts, axis=0: _joined(moves.stack, parts, axis),
    np.dot: lambda a, b: products.matmul.on((operand(a), operand(b))),
    np.clip: lambda x, low=None, high=None: x.clip(low, high),
    np.cumsum: lambda x, axis=0: x.cumsum(axis),
    np.argmax: lambda x, axis=None: x.argmax(axis),
    np.shape: lambda x: x.data.shape,
}
"""NumPy's other functions and what they do with tensors"""
