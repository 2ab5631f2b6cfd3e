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
from shinso.core.card import Card, Check, at_most, exactly
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
    def data(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
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


def _map(x: Any) -> Any:
    """Three numbers to two, through several kinds of rules."""
    a = np.array([[0.3, -1.2, 0.7], [1.1, 0.4, -0.5]])
    return np.tanh(a @ x) * np.exp(x[:2]) + (x * x).sum() / (1.0 + x[2] ** 2)


def dual_numbers_equal_reverse_mode() -> Check:
    """Both modes give the same Jacobian of a map from three numbers to two, to 1e-15.

    Source: Wengert 1964; Linnainmaa 1970
    """
    x = np.array([0.4, -0.3, 0.8])
    return at_most(float(np.abs(jacobian(_map, x) - jacobian(_map, x, mode="forward")).max()), 1e-15)


def n_inputs_take_n_runs() -> Check:
    """For 3 inputs forward mode runs the program 3 times.

    Source: equation (2)
    """
    runs = []

    def watched(x: Any) -> Any:
        runs.append(1)
        return _map(x)

    jacobian(watched, np.ones(3), mode="forward")
    return exactly(len(runs), 3)


def one_backward_run_gives_all_inputs() -> Check:
    """Reverse mode runs the same program once, whatever the number of inputs.

    Source: Speelpenning 1980
    """
    runs = []

    def watched(x: Any) -> Any:
        runs.append(1)
        return _map(x)

    jacobian(watched, np.ones(3))
    return exactly(len(runs), 1)


def the_hessian_times_a_vector() -> Check:
    """(3) on the sum of x^4 equals 12 x^2 v to 1e-14.

    Source: Pearlmutter 1994
    """
    x, v = np.linspace(-1, 1, 9), np.linspace(2, 3, 9)
    return at_most(float(np.abs(hvp(lambda u: (u**4).sum(), x, v) - 12 * x**2 * v).max()), 1e-14)


CARD = Card(
    name="Forward mode",
    name_ja="フォワードモードの自動微分",
    paper="Wengert 1964, doi:10.1145/355586.364791; Pearlmutter 1994, doi:10.1162/neco.1994.6.1.147",
    equations=(
        r"(x, t) \;\rightarrow\; (f(x),\; f'(x)\, t)",
        r"J e_i = \partial f / \partial x_i,\quad i = 1, \dots, n",
        r"H v = \nabla_x\, (\nabla f(x) \cdot v)",
    ),
    summary="Numbers that carry their derivative along, by the same rules as reverse mode; Jacobians and Hessians.",
    summary_ja="微分を連れて進む数。規則は逆方向モードと同じものを用い、ヤコビ行列とヘッセ行列を求める。",
    topics=("autodiff.forward-mode",),
    facts=(dual_numbers_equal_reverse_mode, n_inputs_take_n_runs, one_backward_run_gives_all_inputs,
           the_hessian_times_a_vector),
)
