r"""Numerical differentiation: the slope of a chord, and why the smallest step is not the best one.

    (f(x+h) - f(x)) / h       = f'(x) + h/2 f''(x) + O(h^2) + rounding up to 2 eps |f| / h               (1)
    (f(x+h) - f(x-h)) / (2h)  = f'(x) + h^2/6 f'''(x) + O(h^4) + rounding up to eps |f| / h              (2)

A smaller step makes the first error smaller and the second one larger. Their sum is least at

    forward: h = 2 sqrt(eps |f/f''|), error about eps^(1/2);  central: h = (3 eps |f/f'''|)^(1/3), about eps^(2/3)   (3)

so half of the digits are lost, or a third of them, and no step wins them back. Two ways round it: combine two steps so
that the h^2 terms cancel (Richardson),

    D(h) = (f(x+h) - f(x-h)) / (2h),   (4 D(h/2) - D(h)) / 3 = f'(x) + O(h^4)                            (4)

or take the step where nothing is subtracted. The surprise: along the imaginary axis h can be 1e-30,

    Im f(x + ih) / h = f'(x) - h^2/6 f'''(x) + ...                                                       (5)

and a derivative comes out that is exact to the last digit. A gradient of n entries takes n + 1, 2n, 4n or n
evaluations; back-propagation takes one run forwards and one backwards, whatever n is.

Squire and Trapp 1998 (the complex step); Richardson 1911.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shinso.core.card import Card, Check, about, at_least, at_most

Array = NDArray[Any]
Function = Callable[[Array], Any]
"""array of any shape -> one number"""
Method = Callable[..., Array]


def forward_difference(f: Function, x: Array, step: float | None = None) -> Array:
    """(1) for each entry of x, in the precision of x; the step is eps^(1/2) max(1, |x|) unless given."""
    x, first = _floats(x), f(x)
    return _each(x, lambda move, h: (f(move(h)) - first) / h, step, 1 / 2)


def central_difference(f: Function, x: Array, step: float | None = None) -> Array:
    """(2) for each entry of x, in the precision of x; the step is eps^(1/3) max(1, |x|) unless given."""
    return _each(_floats(x), lambda move, h: (f(move(h)) - f(move(-h))) / (2 * h), step, 1 / 3)


def richardson(f: Function, x: Array, step: float | None = None) -> Array:
    """(4) for each entry of x: two central differences whose h^2 terms cancel; the step is eps^(1/5) max(1, |x|)."""

    def twice(move: Callable[[Any], Array], h: Any) -> Any:
        wide, half = f(move(h)) - f(move(-h)), f(move(h / 2)) - f(move(-h / 2))
        return (8 * half - wide) / (6 * h)

    return _each(_floats(x), twice, step, 1 / 5)


def complex_step(f: Function, x: Array, step: float = 1e-30) -> Array:
    """(5) for each entry of x; f has to be made of functions that know complex numbers, with no abs or conjugate."""
    x = _floats(x)
    if x.dtype == np.float32:
        step = max(step, 1e-15)  # 1e-30 squared is not a float32
    return _each(x.astype(np.result_type(x, np.complex64)), lambda move, h: np.imag(f(move(1j * h))) / h, step, 0)


METHODS: dict[str, Method] = {"forward": forward_difference, "central": central_difference,
                              "complex": complex_step, "richardson": richardson}  # fmt: skip


def jacobian(f: Callable[[Array], Array], x: Array, step: float | None = None) -> Array:
    """d f_i / d x_j by central differences for f of any output shape: (*shape of f, *shape of x)."""
    x = _floats(x)
    columns = [_column(f, x, index, step) for index in np.ndindex(x.shape)]
    return np.stack(columns, axis=-1).reshape(*np.shape(columns[0]), *x.shape)


def error_curve(method: Method, f: Function, exact: Array, points: Array, steps: Array) -> Array:
    """For each step the mean of |derivative by `method` - exact| over the points; f: one number -> one number.

    At a single point rounding can vanish by luck; the mean over some points shows what is to be expected.
    """
    return np.array([np.mean([abs(float(method(f, np.asarray(x), step=h)) - d)
                              for x, d in zip(points, exact, strict=True)]) for h in steps.tolist()])  # fmt: skip


def slope(steps: Array, errors: Array) -> float:
    """The exponent p of errors ~ steps^p, by least squares on logarithms."""
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@dataclass(frozen=True)
class GradCheck:
    """What a gradient by hand says beside what differences say."""

    claimed: Array
    measured: Array
    tolerance: float

    @property
    def error(self) -> float:
        """Largest difference, relative to the largest entry of either."""
        scale = max(np.abs(self.claimed).max(initial=0.0), np.abs(self.measured).max(initial=0.0), 1e-12)
        return float(np.abs(self.claimed - self.measured).max(initial=0.0) / scale)

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance

    @property
    def worst(self) -> tuple[int, ...]:
        """Where the two differ most."""
        at = np.unravel_index(int(np.abs(self.claimed - self.measured).argmax()), self.measured.shape)
        return tuple(int(i) for i in at)


def gradcheck(f: Function, gradient: Callable[[Array], Array], x: Array, tolerance: float = 1e-7) -> GradCheck:
    """Holds a gradient written by hand against (4), in float64; a wrong sign, factor or index does not pass."""
    x = np.asarray(x, dtype=np.float64)
    return GradCheck(np.array(gradient(x.copy()), dtype=np.float64), richardson(f, x), tolerance)


def _floats(x: Array) -> Array:
    x = np.asarray(x)
    return x.copy() if np.issubdtype(x.dtype, np.inexact) else x.astype(np.float64)


def _each(x: Array, quotient: Callable[[Callable[[Any], Array], Any], Any], step: float | None, power: float) -> Array:
    """`quotient(move, h)` for each entry, where move(h) is x with this entry moved by h."""
    kind = np.finfo(x.dtype).dtype
    answer = np.empty(x.shape, dtype=kind)
    for index in np.ndindex(x.shape):
        usual = np.finfo(kind).eps ** power * max(1.0, abs(float(np.real(x[index]))))
        answer[index] = quotient(lambda h, at=index: _moved(x, at, h), kind.type(usual if step is None else step))
    return answer


def _moved(x: Array, index: tuple[int, ...], h: Any) -> Array:
    moved = x.copy()
    moved[index] += h
    return moved


def _column(f: Callable[[Array], Array], x: Array, index: tuple[int, ...], step: float | None) -> Array:
    h = step or np.finfo(x.dtype).eps ** (1 / 3) * max(1.0, abs(float(x[index])))
    return (np.asarray(f(_moved(x, index, h))) - np.asarray(f(_moved(x, index, -h)))) / (2 * h)


_POINTS = np.linspace(0.5, 1.5, 40)
_EPS = float(np.finfo(np.float64).eps)


def _curve(method: str, largest: float, smallest: float) -> tuple[Array, Array]:
    steps = np.geomspace(largest, smallest, 33)
    return steps, error_curve(METHODS[method], np.exp, np.exp(_POINTS), _POINTS, steps)


def forward_error_has_slope_one() -> Check:
    """Before rounding is felt, from h = 1e-1 to 1e-6, the forward difference's error falls with slope 1.

    Source: equation (1), on exp over 0.5 to 1.5
    """
    return about(slope(*_curve("forward", 1e-1, 1e-6)), 1.0, 0.02)


def central_error_has_slope_two() -> Check:
    """Before rounding is felt, from h = 1e-1 to 1e-4, the central difference's error falls with slope 2.

    Source: equation (2), on exp over 0.5 to 1.5
    """
    return about(slope(*_curve("central", 1e-1, 1e-4)), 2.0, 0.02)


def richardson_error_has_slope_four() -> Check:
    """From h = 0.5 to 1e-2 the error of two combined central differences falls with slope 4.

    Source: equation (4); Richardson 1911
    """
    return about(slope(*_curve("richardson", 0.5, 1e-2)), 4.0, 0.05)


def rounding_has_slope_minus_one() -> Check:
    """Below the best step, from h = 1e-10 to 1e-14, the forward difference's error grows as 1/h.

    Source: equation (1)
    """
    return about(slope(*_curve("forward", 1e-10, 1e-14)), -1.0, 0.15)


def forward_loses_half_of_the_digits() -> Check:
    """The least error of the forward difference of exp, over eps^(1/2), is of the order of 1.

    Source: equation (3): 2 sqrt(|f f''|) eps^(1/2) is the worst case, about 5.6 here
    """
    return Check(float(_curve("forward", 1e-6, 1e-10)[1].min()) / _EPS ** (1 / 2), 0.2, 6)


def central_loses_a_third_of_the_digits() -> Check:
    """The least error of the central difference of exp, over eps^(2/3), is of the order of 1.

    Source: equation (3): (9/8)^(1/3) |f'''|^(1/3) |f|^(2/3) eps^(2/3) is the worst case, about 2.9 here
    """
    return Check(float(_curve("central", 1e-3, 1e-7)[1].min()) / _EPS ** (2 / 3), 0.1, 3)


def best_forward_step_is_the_square_root_of_eps() -> Check:
    """The forward difference of exp is best at a step within a factor 4 of 2 eps^(1/2), as the logarithm says.

    Source: equation (3) with f = f''; |log(h / (2 eps^(1/2)))| is at most log 4
    """
    steps, errors = _curve("forward", 1e-6, 1e-10)
    return about(float(np.log(steps[errors.argmin()] / (2 * _EPS ** (1 / 2)))), 0.0, np.log(4.0))


def best_central_step_is_the_cube_root_of_eps() -> Check:
    """The central difference of exp is best at a step within a factor 4 of (3 eps)^(1/3), as the logarithm says.

    Source: equation (3) with f = f'''; |log(h / (3 eps)^(1/3))| is at most log 4
    """
    steps, errors = _curve("central", 1e-3, 1e-7)
    return about(float(np.log(steps[errors.argmin()] / (3 * _EPS) ** (1 / 3))), 0.0, np.log(4.0))


def complex_step_has_no_floor() -> Check:
    """With h = 1e-30 the complex step's derivative of exp is wrong by at most two units in the last place.

    Source: equation (5); Squire and Trapp 1998
    """
    wrong = error_curve(complex_step, np.exp, np.exp(_POINTS), _POINTS, np.array([1e-30]))
    return at_most(float(wrong[0]), 2 * float(np.spacing(np.exp(1.5))))


def _notebook(kind: type, step: float, *, central: bool) -> Array:
    """|error| of the x2-derivative of x1^2 + 8 x2^2 at 20,000 points of [-10, 10]^2, all arithmetic in `kind`."""
    x1, x2 = np.random.default_rng(0).uniform(-10, 10, (2, 20_000)).astype(kind)
    h, eight = kind(step), kind(8)

    def f(moved: Array) -> Array:
        return x1 * x1 + eight * moved * moved

    quotient = (f(x2 + h) - f(x2 - h)) / (2 * h) if central else (f(x2 + h) - f(x2)) / h
    return np.abs(quotient.astype(np.float64) - 16 * x2.astype(np.float64))


def the_notebooks_step_is_off_by_two_on_average() -> Check:
    """The notebooks' forward difference, eps = 1e-5 in float32 on x1^2 + 8 x2^2, is off by 1.8 on average.

    Source: 20,000 points of [-10, 10]^2, derivative by x2, which is 16 x2
    """
    return about(float(_notebook(np.float32, 1e-5, central=False).mean()), 1.8, 0.15)


def the_notebooks_step_is_off_by_eighteen_at_worst() -> Check:
    """At the worst of 20,000 points the same derivative is off by more than 17, where it is at most 160.

    Source: f reaches 900, whose float32 neighbours are 6e-5 apart: 6 after division by 1e-5; x2 + 1e-5 is rounded too
    """
    return at_least(float(_notebook(np.float32, 1e-5, central=False).max()), 17.0)


def a_central_step_of_a_hundredth_mends_float32() -> Check:
    """In float32 a central difference with h = 1e-2 is off by at most 0.02 on the same points.

    Source: f is quadratic, so (2) has no h^2 term; rounding is eps |f| / h = 1.2e-7 900 / 1e-2 = 0.011, and that of x2
    """
    return at_most(float(_notebook(np.float32, 1e-2, central=True).max()), 0.02)


def float64_mends_the_notebooks_step() -> Check:
    """In float64 the notebooks' own forward difference is off by 8e-5, the h/2 f'' of (1), to 1e-6.

    Source: equation (1) with f'' = 16 and h = 1e-5
    """
    return about(float(_notebook(np.float64, 1e-5, central=False).mean()), 8e-5, 1e-6)


def _loss(w: Array) -> Any:
    return np.log(1 + np.exp(w @ np.array([0.3, -1.2, 2.0]))) + 0.5 * np.sum(w * w)


def _its_gradient(w: Array, sign: float = 1.0) -> Array:
    x = np.array([0.3, -1.2, 2.0])
    return x / (1 + np.exp(-(w @ x))) + sign * w


def a_right_gradient_passes() -> Check:
    """The gradient of a logistic loss with weight decay, written by hand, agrees to 1e-7.

    Source: gradcheck's usual bound for float64
    """
    return at_most(gradcheck(_loss, _its_gradient, np.array([0.5, -0.7, 0.2])).error, 1e-7)


def a_planted_sign_error_is_caught() -> Check:
    """With the sign of the weight decay turned the same check finds an error above 0.1.

    Source: the two differ by 2 w
    """
    return at_least(gradcheck(_loss, lambda w: _its_gradient(w, -1.0), np.array([0.5, -0.7, 0.2])).error, 0.1)


CARD = Card(
    name="Numerical differentiation",
    name_ja="数値微分",
    paper="Squire and Trapp 1998, Using complex variables to estimate derivatives, SIAM Review 40; Richardson 1911",
    equations=(
        r"\frac{f(x+h) - f(x)}{h} = f'(x) + \frac{h}{2} f''(x) + O(h^2) \pm \frac{2\epsilon|f|}{h}",
        r"\frac{f(x+h) - f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + O(h^4) \pm \frac{\epsilon|f|}{h}",
        r"h_{forward} = 2\sqrt{\epsilon |f/f''|},\quad h_{central} = (3\epsilon |f/f'''|)^{1/3}",
        r"\frac{4 D(h/2) - D(h)}{3} = f'(x) + O(h^4),\quad D(h) = \frac{f(x+h) - f(x-h)}{2h}",
        r"\frac{\mathrm{Im} f(x + ih)}{h} = f'(x) - \frac{h^2}{6} f'''(x) + \ldots",
    ),
    summary="The slope of a chord: simple, blind to the formula, and wrong by rounding when the step is too small.",
    summary_ja="割線の傾きで微分を近似する。式を知らなくてよいが、刻みが小さすぎると丸め誤差で誤る。",
    topics=("autodiff.numerical", "autodiff.gradcheck"),
    facts=(
        forward_error_has_slope_one,
        central_error_has_slope_two,
        richardson_error_has_slope_four,
        rounding_has_slope_minus_one,
        forward_loses_half_of_the_digits,
        central_loses_a_third_of_the_digits,
        best_forward_step_is_the_square_root_of_eps,
        best_central_step_is_the_cube_root_of_eps,
        complex_step_has_no_floor,
        the_notebooks_step_is_off_by_two_on_average,
        the_notebooks_step_is_off_by_eighteen_at_worst,
        a_central_step_of_a_hundredth_mends_float32,
        float64_mends_the_notebooks_step,
        a_right_gradient_passes,
        a_planted_sign_error_is_caught,
    ),
    notes=("The notebooks take a forward difference with eps = 1e-5 in float32; on x1^2 + 8 x2^2 over [-10, 10]^2 its"
           " x2-derivative is off by 1.8 on average and by 18 at worst. Use float64, or a central step near 1e-2.",),
    notes_ja=("ノートブックは float32 で eps = 1e-5 の前進差分を使う。[-10, 10]^2 上の x1^2 + 8 x2^2 では、"
              "x2 による微分が平均で 1.8、最大で 18 も外れる。float64 を使うか、中心差分で 1e-2 程度の刻みにする。",),
)
