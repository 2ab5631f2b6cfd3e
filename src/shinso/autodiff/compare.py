r"""Seven ways to differentiate one formula, side by side.

    numerical    (f(x + h) - f(x)) / h,  (f(x + h) - f(x - h)) / (2h)                    a neighbour's difference (1)
    complex      Im f(x + ih) / h                                                         no difference at all    (2)
    symbolic     f'(x) as a formula, by rules                                             exact, and long         (3)
    forward      (u, u') with (u v, u' v + u v'), f(u, u') = (f(u), f'(u) u')             one pass for each input (4)
    reverse      u_bar += v_bar dv/du from the result back to every input                 one pass for all inputs (5)

All of them are told the same formula, as a tree, and walk it with numbers of their own kind. The surprise is that the
exact ones are not the slow ones: reverse mode needs one run forwards and one backwards, however many inputs there are.
The truth they are held against is the formula's derivative by SymPy, computed in 50 digits and rounded once.

Wengert 1964 (forward); Linnainmaa 1970 (reverse); Griewank and Walther 2008 (the cost).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shinso.autodiff import numerical, symbolic
from shinso.autodiff._by_the_rules import by_the_rules, operations
from shinso.autodiff.algebra import NUMBERS
from shinso.autodiff.expression import Apply, Expression, Node, nodes, parse, walk, write
from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError

Answer = tuple[float, dict[str, float]]
"""the value and the derivative by each variable"""


@dataclass(frozen=True)
class Row:
    """What one method says at one point."""

    method: str
    value: float
    derivatives: dict[str, float]
    errors: dict[str, float]
    """distance from the truth, relative to the larger of 1 and |truth|"""
    evaluations: int
    """runs through the formula, forwards or backwards"""
    operations: int
    """elementary operations carried out in them; a step of (4) or (5) counts as one"""
    exact: bool
    """whether only rounding separates it from the truth"""

    @property
    def error(self) -> float:
        """The largest of the errors."""
        return max(self.errors.values(), default=0.0)


@dataclass(frozen=True)
class Comparison:
    """All methods on one expression at one point."""

    expression: Expression
    at: dict[str, float]
    truth: dict[str, float]
    rows: tuple[Row, ...]

    def row(self, method: str) -> Row:
        """The row of a method by its name."""
        return next(row for row in self.rows if row.method == method)

    def table(self) -> str:
        """The rows as text in columns."""
        head = ["method", "value", *(f"d/d{name}" for name in self.at), "error", "runs", "operations"]
        lines = [head] + [[row.method, f"{row.value:.12g}", *(f"{d:.12g}" for d in row.derivatives.values()),
                           f"{row.error:.1e}", str(row.evaluations), str(row.operations)] for row in self.rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
                         for line in lines)  # fmt: skip


def compare(expression: str | Expression, **at: float) -> Comparison:
    """Every method on a formula at a point, like compare("exp(x*w)", x=2, w=0.5).

    Raises UserError where the formula cannot be read, a variable has no value, or value or derivative are no numbers.
    """
    return compare_at(expression if isinstance(expression, Expression) else parse(expression), at)


def compare_at(expression: Expression, at: Mapping[str, float]) -> Comparison:
    """As `compare`, with the point as a mapping."""
    at = {name: float(x) for name, x in expression.complete(at).items()}
    stay_in_the_domain(expression, at)
    truth = symbolic.gradient(expression, at)
    return Comparison(expression, at, truth, tuple(_row(m, expression, at, truth) for m in METHODS))


def stay_in_the_domain(expression: Expression, at: Mapping[str, float]) -> None:
    """Raises UserError with the part of the formula that is no finite number at this point, or has a corner there."""
    if not at:
        raise UserError("expression", f"{expression.text} has no variable", "write one with a variable, like exp(x*w)")
    place = ", ".join(f"{name} = {at[name]:g}" for name in at)
    for node in nodes(expression.tree):
        value = walk(node, at, NUMBERS)
        if _on_a_corner(node, at):
            raise UserError(write(node), f"this has a corner, and no derivative, at {place}", "choose another point")
        if not np.isfinite(value):
            raise UserError(write(node), f"this is not a finite number at {place}", "choose another point")


def _on_a_corner(node: Node, at: Mapping[str, float]) -> bool:
    """Whether two arguments of max or min tie for the result, or |.| or relu is at zero."""
    if not isinstance(node, Apply) or node.operation not in ("abs", "relu", "max", "min"):
        return False
    values = [walk(part, at, NUMBERS) for part in node.inputs]
    if len(values) == 1:
        return values[0] == 0
    return values.count(max(values) if node.operation == "max" else min(values)) > 1


def _by_arrays(method: numerical.Method) -> Callable[[Expression, Mapping[str, float]], Answer]:
    def differentiated(expression: Expression, at: Mapping[str, float]) -> Answer:
        def f(x: Any) -> Any:
            return walk(expression.tree, dict(zip(at, x, strict=True)), NUMBERS)

        x = np.array(list(at.values()))
        return float(f(x)), {name: float(d) for name, d in zip(at, method(f, x), strict=True)}

    return differentiated


def by_formula(expression: Expression, at: Mapping[str, float]) -> Answer:
    """(3): the derivative's formula by the bare rules, in floats like the other methods."""
    found = {name: float(walk(by_the_rules(expression.tree, name), at, NUMBERS)) for name in at}
    return float(walk(expression.tree, at, NUMBERS)), found


def forward(expression: Expression, at: Mapping[str, float]) -> Answer:
    """(4): a pass with dual numbers for each variable."""
    from shinso.autodiff.forward import Dual

    value, found = 0.0, {}
    for name in at:
        answer = expression({other: Dual(x, 1.0 if other == name else 0.0) for other, x in at.items()})
        value, found[name] = float(answer.value), float(answer.derivative)
    return value, found


def reverse_scalar(expression: Expression, at: Mapping[str, float]) -> Answer:
    """(5) with the scalar engine."""
    from shinso.autodiff.scalar import Value

    values = {name: Value(x) for name, x in at.items()}
    answer = expression(values)
    answer = answer if isinstance(answer, Value) else Value(answer)  # max may have chosen a plain number
    answer.backward()
    return float(answer.data), {name: float(value.grad) for name, value in values.items()}


def reverse(expression: Expression, at: Mapping[str, float]) -> Answer:
    """(5) with the tensor engine, on arrays of no dimension."""
    from shinso.autodiff.tensor import Tensor

    tensors = {name: Tensor(np.float64(x), requires_grad=True) for name, x in at.items()}
    answer = expression(tensors)
    answer.backward()
    return float(answer.data), {name: float(0 if t.grad is None else t.grad) for name, t in tensors.items()}


METHODS: dict[str, tuple[Callable[[Expression, Mapping[str, float]], Answer], bool]] = {
    "forward difference": (_by_arrays(numerical.forward_difference), False),
    "central difference": (_by_arrays(numerical.central_difference), False),
    "complex step": (_by_arrays(numerical.complex_step), True),
    "symbolic": (by_formula, True),
    "forward mode": (forward, True),
    "reverse mode, scalars": (reverse_scalar, True),
    "reverse mode, tensors": (reverse, True),
}
"""each method and whether only rounding separates it from the truth"""


def runs(method: str, inputs: int) -> int:
    """How often the formula is run through for a value and all derivatives by `inputs` variables."""
    return {"forward difference": inputs + 1, "central difference": 2 * inputs + 1, "complex step": inputs + 1,
            "symbolic": inputs + 1, "forward mode": inputs}.get(method, 2)


def _row(method: str, expression: Expression, at: Mapping[str, float], truth: Mapping[str, float]) -> Row:
    differentiate, exact = METHODS[method]
    with np.errstate(all="ignore"):
        value, found = differentiate(expression, at)
    errors = {name: abs(found[name] - true) / max(1.0, abs(true)) for name, true in truth.items()}
    number = runs(method, len(at))
    once = operations(expression.tree)
    if method == "symbolic":
            return Row(method, value, found, errors, number,
                   once + sum(operations(by_the_rules(expression.tree, name)) for name in at), exact)
    return Row(method, value, found, errors, number, number * once, exact)


_POINTS: dict[str, dict[str, float]] = {
    "exp(x*w)": {"x": 2.0, "w": 0.5}, "1/(1+exp(-x))": {"x": 0.3}, "x**2/2 + 5*y**2": {"x": 3.0, "y": -1.0},
    "log(1+exp(x))": {"x": 1.7}, "sigmoid(a*x+b)": {"a": 0.7, "x": -1.1, "b": 0.2}, "x**w - w**x": {"x": 1.4, "w": 2.3},
    "tanh(x*y)*sin(x)/cosh(y) + sqrt(x)*abs(y)": {"x": 0.9, "y": -0.6},
    "max(x, y) * min(x, 2*y) + relu(x-y) * softplus(y)": {"x": 1.2, "y": 0.8},
    "a*b*c*d*f*g": {"a": 1.1, "b": 0.9, "c": -1.2, "d": 0.8, "f": 1.3, "g": 0.7},
}  # fmt: skip


def _worst(*, exact_only: bool) -> float:
    rows = [row for text, at in _POINTS.items() for row in compare_at(parse(text), at).rows]
    return max(row.error for row in rows if (row.exact or not exact_only) and row.method != "forward difference")


def all_methods_agree() -> Check:
    """On nine formulas central differences, the complex step, symbols, duals and both engines agree to 1e-8.

    Source: a central difference at its best step is good to about eps^(2/3) = 4e-11 times the third derivative
    """
    return at_most(_worst(exact_only=False), 1e-8)


def the_exact_methods_agree() -> Check:
    """Without the differences the same five agree with the derivative in 50 digits to 1e-12.

    Source: only rounding separates them
    """
    return at_most(_worst(exact_only=True), 1e-12)


def the_forward_difference_has_half_of_the_digits() -> Check:
    """The forward difference is wrong by at most 1e-6 on the same formulas.

    Source: eps^(1/2) = 1.5e-8 times the second derivative and the step's max(1, |x|)
    """
    rows = [compare_at(parse(text), at).row("forward difference") for text, at in _POINTS.items()]
    return at_most(max(row.error for row in rows), 1e-6)


def the_course_value_comes_out() -> Check:
    """For exp(xw) at x = 2, w = 0.5 every exact method gives x exp(xw) = 5.436563656918090 by w, to 1e-14.

    Source: d exp(u)/du d(xw)/dw = exp(xw) x = 2 e
    """
    rows = compare("exp(x*w)", x=2, w=0.5).rows
    return at_most(max(abs(row.derivatives["w"] - 5.436563656918090) for row in rows if row.exact), 1e-14)


def reverse_mode_runs_twice_whatever_the_inputs() -> Check:
    """A product of six variables takes reverse mode 2 runs, forward mode 6, a central difference 13: 21 in all.

    Source: equations (1), (4), (5)
    """
    found = compare_at(parse("a*b*c*d*f*g"), _POINTS["a*b*c*d*f*g"])
    methods = ("reverse mode, tensors", "forward mode", "central difference")
    return exactly(sum(found.row(method).evaluations for method in methods), 21)


CARD = Card(
    name="Ways to differentiate, compared",
    name_ja="微分法の比較",
    paper="Griewank and Walther 2008, Evaluating derivatives; Wengert 1964; Linnainmaa 1970",
    equations=(
        r"f'(x) \approx \frac{f(x+h) - f(x-h)}{2h}",
        r"f'(x) \approx \frac{\mathrm{Im} f(x + ih)}{h}",
        r"(uv)' = u'v + uv',\quad f(u)' = f'(u)u'",
        r"(u, u')(v, v') = (uv, u'v + uv'),\quad f(u, u') = (f(u), f'(u)u')",
        r"\bar u = \sum_v \bar v \frac{\partial v}{\partial u}",
    ),
    summary="One formula differentiated in seven ways, with the error and the work of each.",
    summary_ja="一つの式を七通りに微分し、それぞれの誤差と計算量を並べる。",
    topics=(),
    facts=(
        all_methods_agree,
        the_exact_methods_agree,
        the_forward_difference_has_half_of_the_digits,
        the_course_value_comes_out,
        reverse_mode_runs_twice_whatever_the_inputs,
    ),
)
