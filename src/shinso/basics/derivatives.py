r"""Derivatives of a formula of your own: by differences, by symbols, by automatic differentiation.

    by hand      d exp(xw)/dw = x exp(xw),  d exp(xw)/dx = w exp(xw)                                     (1)
    forward      (f(x+h) - f(x)) / h        = f' + h/2 f'' + ...,    rounding eps |f| / h                 (2)
    central      (f(x+h) - f(x-h)) / (2h)   = f' + h^2/6 f''' + ..., rounding eps |f| / (2h)              (3)
    complex      Im f(x+ih) / h             = f' - h^2/6 f''' + ..., nothing to round                     (4)

One step of the program is one length h, from 0.1 down to the last digit: all differences are taken with it, at the
point and at some neighbours, and held against the derivative in 50 digits. The surprise is the shape of the curves: a
V, whose left arm is rounding. The best step is near eps^(1/2) for (2) and eps^(1/3) for (3), and what is lost there
no smaller step brings back, while reverse mode, which has no h at all, is right to the last digit.

The exercise of the course asks for an example of one's own, verified by hand. Griewank and Walther 2008.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

import numpy as np
import torch

from shinso.autodiff import compare, numerical, symbolic
from shinso.autodiff import graph as graphs
from shinso.autodiff.algebra import NUMBERS
from shinso.autodiff.expression import Expression, parse, walk
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range

METHODS = ("forward", "central", "complex", "richardson")
LARGEST = 0.1


@final
class Derivatives:
    """One formula, one point and its neighbours; one step of the program for each length h."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.expression = parse(setup.expression)
        self.at = self.expression.complete(read_point(setup.at))
        self.comparison = compare.compare_at(self.expression, self.at)
        self.kind = np.dtype(setup.number_format)
        eps = float(np.finfo(self.kind).eps)
        self.lengths = np.geomspace(LARGEST, eps, setup.steps)
        formulas = {name: symbolic.derivative(self.expression, name) for name in self.at}
        found = _neighbours(self.expression, self.at, formulas, setup)
        self.points, self.truth = [x for x, _ in found], np.array([truth for _, truth in found])
        slopes = [list(compare.reverse(self.expression, self._named(x))[1].values()) for x in self.points]
        self.reverse_error = float(np.mean([self._distance(row, k) for k, row in enumerate(slopes)]))
        self.errors = np.zeros((setup.steps, len(METHODS)))
        self.done = 0

    def step(self, i: int) -> Record:
        self.errors[i] = [self._error(method, float(self.lengths[i])) for method in METHODS]
        self.done = i + 1
        named = {f"{method}_error": float(e) for method, e in zip(METHODS, self.errors[i], strict=True)}
        return {"step_length": float(self.lengths[i]), **named, "reverse_error": self.reverse_error}

    def state(self) -> dict[str, Any]:
        return {"errors": self.errors.copy(), "done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        self.errors, self.done = np.array(state["errors"]), int(state["done"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The error over h, the graph with values and gradients, and the methods as a table."""
        from shinso.basics._derivative_pictures import error_picture, graph_picture, table_picture

        return {"error_curve": error_picture(self), "computation_graph": graph_picture(self.graph()),
                "differentiation": table_picture(self.comparison)}

    def graph(self) -> graphs.Graph:
        """The computation graph of the formula at the point, by the tensor engine."""
        from shinso.autodiff.tensor import Tensor

        tensors = {name: Tensor(np.float64(x), requires_grad=True) for name, x in self.at.items()}
        return graphs.graph_of(self.expression(tensors), tensors)

    @cached_property
    def predicted(self) -> dict[str, tuple[float, float]]:
        """For (2) and (3): the factor of h^1 or h^2, and that of 1/h, in the mean over points and variables.

        The second and third derivatives are differences of reverse mode's first: their formulas may be endless.
        """
        h, size = 1e-4, np.maximum(1.0, np.abs(self.truth))
        second, third = np.zeros_like(size), np.zeros_like(size)
        with np.errstate(all="ignore"):
            for k, j in np.ndindex(*size.shape):
                x, shift = self.points[k].astype(np.float64), h * np.eye(size.shape[1])[j]
                left, here, right = (self._slope(x + s * shift, j) for s in (-1, 0, 1))
                second[k, j], third[k, j] = abs(right - left) / (2 * h), abs(right - 2 * here + left) / h**2
            values = np.abs([[walk(self.expression.tree, self._named(x), NUMBERS)] for x in self.points])
        third[third < 1e-6 * size] = 0  # rounding
        rounding = float(np.mean(np.finfo(self.kind).eps * values / size))
        return {"forward": (float(np.mean(second / size)) / 2, rounding / 2),
                "central": (float(np.mean(third / size)) / 6, rounding / 4)}

    def _slope(self, x: np.ndarray, j: int) -> float:
        return list(compare.reverse(self.expression, self._named(x))[1].values())[j]

    def _error(self, method: str, h: float) -> float:
        """Mean over points and variables, relative to max(1, |truth|); where there is no number it counts as 1."""
        found = [self._distance(numerical.METHODS[method](self._f, x, step=h), k) for k, x in enumerate(self.points)]
        return float(np.mean(found))

    def _distance(self, derivatives: Any, k: int) -> float:
        off = np.abs(np.asarray(derivatives, dtype=np.float64) - self.truth[k]) / np.maximum(1.0, np.abs(self.truth[k]))
        return float(np.mean(np.where(np.isfinite(off), np.minimum(off, 1.0), 1.0)))

    def _f(self, x: np.ndarray) -> Any:
        return walk(self.expression.tree, dict(zip(self.at, x, strict=True)), NUMBERS)

    def _named(self, x: np.ndarray) -> dict[str, float]:
        return dict(zip(self.at, map(float, x), strict=True))


def read_point(text: str) -> dict[str, float]:
    """The values in `x=2, w=pi/4`; each right-hand side is a formula without variables."""
    point: dict[str, float] = {}
    for part in text.replace("、", ",").replace("，", ",").replace("＝", "=").split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not equals or not name.isidentifier():
            raise UserError("at", f"'{part.strip()}' gives no variable a value", "write it like x=2,w=0.5")
        if name in point:
            raise UserError("at", f"{name} is given twice", "give each variable one value")
        number = parse(value, f"at, value of {name}")
        if number.names:
            raise UserError("at", f"{name} = {value} has a variable in it", "give numbers, like x=2 or x=pi/4")
        point[name] = float(number({}, NUMBERS))
    return point


def _neighbours(expression: Expression, at: Mapping[str, float], formulas: Mapping[str, Any],
                setup: "Setup") -> list[tuple[np.ndarray, list[float]]]:
    """The point itself, then others around it at which there is a derivative, in the chosen precision; with that."""
    centre, draw = np.array(list(at.values())), generator(setup.seed, "neighbours")
    found: list[tuple[np.ndarray, list[float]]] = []
    for _ in range(20 * setup.points):
        if len(found) == setup.points:
            break
        shift = torch.rand(len(centre), generator=draw, dtype=torch.float64).numpy() * 2 - 1 if found else 0.0
        x = (centre + setup.spread * np.maximum(1.0, np.abs(centre)) * shift).astype(setup.number_format)
        named = dict(zip(at, map(float, x), strict=True))
        try:
            compare.stay_in_the_domain(expression, named)
            found.append((x, [symbolic.exact(what, named) for what in formulas.values()]))
        except UserError:
            if not found:
                raise  # the point itself, rounded to float32
    return found


def _run(setup: "Setup") -> Derivatives:
    program = Derivatives(setup)
    for i in range(program.total):
        program.step(i)
    return program


def _between(program: Derivatives, method: str, high: float, low: float) -> tuple[np.ndarray, np.ndarray]:
    chosen = (program.lengths <= high) & (program.lengths >= low)
    return program.lengths[chosen], program.errors[chosen, METHODS.index(method)]


def symbols_differences_and_reverse_mode_agree() -> Check:
    """Of exp(xw) at x = 2, w = 0.5 all methods but the forward difference give the same derivatives to 1e-8.

    Source: the exercise; a central difference is good to about 4e-11 there
    """
    rows = Derivatives(Setup()).comparison.rows
    return at_most(max(row.error for row in rows if row.method != "forward difference"), 1e-8)


def reverse_mode_is_what_one_finds_by_hand() -> Check:
    """Reverse mode gives (1), w exp(xw) and x exp(xw), to one unit in the last place.

    Source: equation (1) at x = 2, w = 0.5, where exp(xw) = e
    """
    row = Derivatives(Setup()).comparison.row("reverse mode, tensors")
    off = [abs(row.derivatives["x"] - 0.5 * np.e), abs(row.derivatives["w"] - 2 * np.e)]
    return at_most(max(off), float(np.spacing(2 * np.e)))


def the_arms_have_slopes_one_and_two() -> Check:
    """The run's errors fall with slope 1 for (2) and 2 for (3): 1.00 and 2.00 together make 3.

    Source: h between 1e-2 and 1e-5, and between 1e-1 and 1e-3
    """
    program = _run(Setup())
    return about(numerical.slope(*_between(program, "forward", 1e-2, 1e-5))
                 + numerical.slope(*_between(program, "central", 1e-1, 1e-3)), 3.0, 0.05)  # fmt: skip


def the_arm_is_where_it_was_predicted() -> Check:
    """At h = 1e-3 to 1e-5 the forward difference's error over h/2 |f''| is 1 within 1 %.

    Source: equation (2), with f'' at the same points
    """
    program = _run(Setup())
    h, errors = _between(program, "forward", 1e-3, 1e-5)
    return about(float(np.mean(errors / (program.predicted["forward"][0] * h))), 1.0, 0.01)


def the_central_difference_wins_two_digits() -> Check:
    """At the best step of each the central difference is at least 50 times nearer to the truth than the forward one.

    Source: eps^(1/2) / eps^(2/3) = eps^(-1/6) = 406, less the constants of (2) and (3)
    """
    best = _run(Setup()).errors.min(axis=0)
    return at_least(float(best[0] / best[1]), 50)


def smaller_steps_make_it_worse() -> Check:
    """The forward difference with h = eps is more than 1,000,000 times further off than at its best step.

    Source: equation (2): at h = eps rounding alone is of the order of |f|
    """
    errors = _run(Setup()).errors[:, 0]
    return at_least(float(errors[-1] / errors.min()), 1e6)


def float32_has_no_good_forward_difference() -> Check:
    """In float32 the best forward difference is still off by more than 1e-5 on average, whatever the step.

    Source: eps^(1/2) = 3.5e-4 in float32
    """
    return at_least(float(_run(Setup(number_format="float32")).errors[:, 0].min()), 1e-5)


CARD = Card(
    name="Derivatives of a formula",
    name_ja="式の微分を比べる (演習4-2)",
    paper="Griewank and Walther 2008, Evaluating derivatives, SIAM",
    equations=(
        r"\frac{\partial}{\partial w} e^{xw} = x e^{xw},\quad \frac{\partial}{\partial x} e^{xw} = w e^{xw}",
        r"\frac{f(x+h)-f(x)}{h} = f'(x) + \frac{h}{2} f''(x) + \ldots",
        r"\frac{f(x+h)-f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \ldots",
        r"\frac{\mathrm{Im} f(x+ih)}{h} = f'(x) - \frac{h^2}{6} f'''(x) + \ldots",
    ),
    summary="Differentiates a formula of your own in seven ways and shows what each step length h costs.",
    summary_ja="自分で選んだ式を七通りに微分し、刻み h ごとに誤差がどうなるかを示す。",
    topics=("basics.exercise-4-autodiff",),
    facts=(
        symbols_differences_and_reverse_mode_agree,
        reverse_mode_is_what_one_finds_by_hand,
        the_arms_have_slopes_one_and_two,
        the_arm_is_where_it_was_predicted,
        the_central_difference_wins_two_digits,
        smaller_steps_make_it_worse,
        float32_has_no_good_forward_difference,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Which formula, where, and how finely h is stepped through."""

    expression: str = "exp(x*w)"
    """formula with + - * / **, brackets, numbers, pi, e and exp, log, sqrt, sin, cos, tan, tanh, sigmoid, max ..."""
    at: str = "x=2,w=0.5"
    """the point: a value for each variable of the formula"""
    steps: int = 61
    """number of step lengths h, from 0.1 down to eps"""
    number_format: Literal["float64", "float32"] = "float64"
    """number format of the differences: float64 or float32"""
    points: int = 8
    """points over which an error is averaged: the point itself and its neighbours"""
    spread: float = 0.05
    """how far away the neighbours are, relative to the larger of 1 and |x|"""
    seed: int = 0
    """of the neighbours"""


VARIANTS = {
    "smoke": Setup(steps=41, points=2),
    "default": Setup(),
    "sigmoid": Setup(expression="1/(1+exp(-x))", at="x=0.3"),
    "notebook": Setup(expression="x1**2 + 8*x2**2", at="x1=3,x2=-7", number_format="float32"),
    "quadratic": Setup(expression="x**2/2 + 5*y**2", at="x=3,y=-1"),
}


def build(setup: Setup, place: Place = Place()) -> Derivatives:  # noqa: B008 - Place is frozen
    """The program; it computes on the CPU wherever `place` is."""
    in_range(setup, ("points",))
    if not 2 <= setup.steps <= 10_000:
        raise UserError("steps", f"{setup.steps} is not a number of step lengths", "give 2 to 10000")
    if setup.points > 1000:
        raise UserError("points", f"{setup.points} points take too long", "give at most 1000")
    return Derivatives(setup)
