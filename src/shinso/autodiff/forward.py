r"""Forward mode: numbers that carry along how fast they move, by the same rules as reverse mode.

A dual number is a value together with a derivative, and every operation moves both:

    (x, t)  ->  (f(x), f'(x) t)                                                     (1)

With t the i-th unit vector the derivative of the result is column i of the Jacobian, so that all n columns take n
runs (2); reverse mode gives a row for each run, which is why it is the one to train with. A derivative may itself be
made of Tensors. Then it can be pulled back, and the gradient of a directional derivative is

    H v = grad_x ( grad f(x) . v )                                                  (3)

for little more than the gradient alone: no n x n matrix is ever formed.

The surprise: nothing here knows any derivative. `rule.push` of (1) and `rule.pull` of the tape are two ways to read
the one equation that stands in each rule.

Wengert 1964; Pearlmutter 1994 for (3).
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from shinso.autodiff._operators import Operators, plain
from shinso.autodiff.rules import Rule
from shinso.autodiff.tensor import Tensor, grad
from shinso.core.errors import UserError


@final
class Dual(Operators):
    """A value and the derivative that it carries: ndarrays, or Tensors if the derivative is to be differentiated."""

    __slots__ = ("derivative", "value")
    requires_grad = False

    def __init__(self, value: Any, derivative: Any = None):
        self.value = value if isinstance(value, Operators) else np.asarray(value)
        if self.value.dtype.kind in "iub":
            self.value = np.asarray(self.value, np.float64)
        if derivative is not None and not isinstance(derivative, Operators):
            derivative = np.asarray(derivative, self.value.dtype)
        if derivative is not None and derivative.shape != self.value.shape:
            raise UserError("Dual", f"a value of shape {self.value.shape} cannot move along {derivative.shape}",
                            "give a derivative of the shape of the value")
        self.derivative = np.zeros(self.value.shape, self.value.dtype) if derivative is None else derivative

    @property
    def data(self) -> np.ndarray:
        """The value as a plain array."""
        return plain(self.value)

    @staticmethod
    def apply(rule: Rule, inputs: Sequence[Any], params: tuple = ()) -> "Dual":
        """(1) with the rule's own push."""
        xs = [x.value if isinstance(x, Dual) else x for x in inputs]
        ts = [x.derivative if isinstance(x, Dual) else None for x in inputs]
        try:
            y = rule.on(xs, params)
        except (ValueError, IndexError, TypeError) as error:
            told = [str(np.shape(plain(x))) for x in xs]
            raise UserError(rule.name, f"inputs of shapes {' and '.join(told)} do not fit together ({error})",
                            "reshape or transpose them so that the axes agree") from error
        return Dual(y, rule.push(ts, y if isinstance(y, Operators) else np.asarray(y), xs, params))

    def __repr__(self) -> str:
        return f"Dual({self.value!r}, {self.derivative!r})"


def jvp(f: Callable[..., Any], inputs: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f(*inputs) and the direction in which it moves when the inputs move along the tangents, in one run of f.

    inputs: arrays or Tensors; tangents of the same shapes. With Tensors the results are Tensors.
    """
    y = f(*[Dual(x, t) for x, t in zip(inputs, tangents, strict=True)])
    if not isinstance(y, Dual):
        return y, np.zeros(np.shape(plain(y)))
    return y.value, y.derivative


def jacobian(f: Callable[[Any], Any], x: Any, *, mode: str = "reverse") -> np.ndarray:
    """dy_i/dx_j, of shape (*y.shape, *x.shape).

    mode "reverse" runs backward once for each entry of y, "forward" runs f once for each entry of x (2).
    """
    x = np.asarray(plain(x))
    if mode == "forward":
        units = np.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
        columns = [np.asarray(plain(jvp(f, (x,), (unit,))[1])) for unit in units]
        y = np.stack(columns, axis=-1) if columns else np.zeros((*np.shape(plain(f(x))), 0))
        return y.reshape(*y.shape[:-1], *x.shape)
    if mode != "reverse":
        raise UserError("jacobian", f"there is no mode '{mode}'", "give 'reverse' or 'forward'")
    source = Tensor(x, requires_grad=True)
    y = f(source)
    rows = [grad(y, source, gradient=unit, retain_graph=True)
            for unit in np.eye(y.size, dtype=y.dtype).reshape(y.size, *y.shape)]
    return np.stack(rows).reshape(*y.shape, *x.shape) if rows else np.zeros((*y.shape, *x.shape))


def hvp(f: Callable[[Any], Any], x: Any, v: Any) -> np.ndarray:
    """(3): the Hessian of the number f(x) times v, without the Hessian."""
    source = Tensor(np.asarray(plain(x)), requires_grad=True)
    _, slope = jvp(f, (source,), (v,))
    if not getattr(slope, "requires_grad", False):
        return np.zeros(source.shape, source.dtype)
    return grad(slope, source)


def hessian(f: Callable[[Any], Any], x: Any) -> np.ndarray:
    """All second derivatives of the number f(x), of shape (*x.shape, *x.shape): (3) for each unit vector."""
    x = np.asarray(plain(x))
    columns = [hvp(f, x, unit) for unit in np.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)]
    return np.stack(columns).reshape(*x.shape, *x.shape) if columns else np.zeros((*x.shape, *x.shape))
