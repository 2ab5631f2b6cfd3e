"""The kinds of numbers that a formula can be walked with: what + and exp mean for each of them.

`NUMBERS` is NumPy's arithmetic on floats, complex numbers and arrays, written so that a small imaginary part survives
every function (the complex step lives from it). `OBJECTS` is for everything that brings its own operators: dual
numbers, the nodes of both engines. `symbols()` is SymPy's.
"""

import math
import operator
from collections.abc import Callable, Iterable
from functools import cache, reduce
from typing import Any, final

import numpy as np

from shinso.autodiff.expression import Algebra, Number


def algebra_of(values: Iterable[Any]) -> Algebra:
    """The algebra in which these values compute."""
    for value in values:
        if type(value).__module__.startswith("sympy."):
            return symbols()
        if not isinstance(value, (int, float, complex, np.ndarray, np.generic)):
            return OBJECTS
    return NUMBERS


@final
class Numbers:
    """float, complex, ndarray in; the same kind out, in the same precision. Outside its domain a function is nan."""

    def number(self, leaf: Number, /) -> float:
        return leaf.value

    def apply(self, operation: str, inputs: list[Any], /) -> Any:
        plain = all(isinstance(part, (int, float)) and not isinstance(part, np.generic) for part in inputs)
        given = inputs if not plain else [np.float64(part) for part in inputs]
        with np.errstate(all="ignore"):
            answer = _NUMERIC[operation](*given)
        return float(answer) if plain else answer  # a plain float does not widen float32 arrays


def _signed(x: Any) -> Any:
    """|x| for real x; for x + ih the same with the imaginary part turned along, as the derivative asks for."""
    return np.where(np.real(x) < 0, -x, x)[()]


def _larger(a: Any, b: Any) -> Any:
    return np.where(np.real(a) >= np.real(b), a, b)[()]


def _smaller(a: Any, b: Any) -> Any:
    return np.where(np.real(a) <= np.real(b), a, b)[()]


def _sigmoid(x: Any) -> Any:
    small = np.exp(-_signed(x))  # at most 1: no overflow on either side
    return np.where(np.real(x) < 0, small / (1 + small), 1 / (1 + small))[()]


def _power(x: Any, y: Any) -> Any:
    if not (np.iscomplexobj(x) or np.iscomplexobj(y)):
        return np.power(x, y)
    whole = np.isreal(y) & (np.real(y) == np.round(np.real(y)))
    flip = whole & (np.real(x) < 0)  # the polar form would lose a tiny imaginary part beside the angle pi
    sign = np.where(flip & (np.real(y) % 2 == 1), -1.0, 1.0)
    return (sign * np.power(np.where(flip, -x, x), y))[()]


_NUMERIC: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": np.divide, "**": _power, "neg": operator.neg,
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh,
    "cosh": np.cosh, "tanh": np.tanh, "abs": _signed, "sigmoid": _sigmoid,
    "relu": lambda x: np.where(np.real(x) > 0, x, 0 * x)[()],
    "softplus": lambda x: _larger(x, 0 * x) + np.log1p(np.exp(-_signed(x))),
    "max": lambda *x: reduce(_larger, x), "min": lambda *x: reduce(_smaller, x),
}  # fmt: skip


@final
class Objects:
    """Anything with operators; functions of Tensors and dual numbers are those of `shinso.autodiff.functions`.

    max, min and abs of scalars choose by value, as a program would.
    """

    def number(self, leaf: Number, /) -> float:
        return leaf.value

    def apply(self, operation: str, inputs: list[Any], /) -> Any:
        if all(isinstance(part, (int, float, np.ndarray)) for part in inputs):
            return NUMBERS.apply(operation, inputs)
        if operation == "**" and hasattr(inputs[1], "slopes"):
            return self.power(*inputs)
        if operation in _OPERATORS:
            return _OPERATORS[operation](*inputs)
        if any(hasattr(part, "apply") for part in inputs):
            return self.by_rule(operation, inputs)
        return self.of_scalars(operation, inputs)

    def of_scalars(self, operation: str, inputs: list[Any]) -> Any:
        """A function that the object has as a method, or whose derivative is known here, or that is built up."""
        method = getattr(inputs[0], operation, None)
        if len(inputs) == 1 and method is not None:
            return method()
        if operation in _SLOPES and hasattr(inputs[0], "slopes"):
            (x,), (f, slope) = inputs, _SLOPES[operation]
            return type(x)(f(x.data), (x,), (slope(x.data),), operation)
        if operation in ("max", "min"):
            return reduce(lambda a, b: _chosen(operation, a, b), inputs)
        return _BUILT_UP[operation](self, *inputs)

    def power(self, base: Any, exponent: Any) -> Any:
        """base ** exponent where the exponent is a Value of the scalar engine, whose own power has numbers there."""
        value = type(exponent)
        base = base if isinstance(base, value) else value(base)
        a, p = base.data, exponent.data
        y = a**p
        slopes = (p * a ** (p - 1) if p else 0.0, y * math.log(a) if a > 0 else math.nan if a else 0.0)
        return value(y, (base, exponent), slopes, "**")

    def by_rule(self, operation: str, inputs: list[Any]) -> Any:
        """A function of Tensors or dual numbers by its rule."""
        from shinso.autodiff import functions

        rule = getattr(functions, {"abs": "absolute", "max": "maximum", "min": "minimum"}.get(operation, operation))
        return rule(*inputs) if len(inputs) == 1 else reduce(rule, inputs)


def _chosen(operation: str, a: Any, b: Any) -> Any:
    first, second = (getattr(x, "data", x) for x in (a, b))
    return (a if first >= second else b) if operation == "max" else (a if first <= second else b)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
    "neg": operator.neg,
}  # fmt: skip
_SLOPES: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "sin": (math.sin, math.cos), "cos": (math.cos, lambda x: -math.sin(x)),
    "tan": (math.tan, lambda x: 1 / math.cos(x) ** 2), "sinh": (math.sinh, math.cosh), "cosh": (math.cosh, math.sinh),
}
"""what the scalar engine has no method for: the function and its derivative"""
_BUILT_UP: dict[str, Callable[..., Any]] = {
    "sqrt": lambda _, x: x**0.5,
    "tan": lambda o, x: o.apply("sin", [x]) / o.apply("cos", [x]),
    "sinh": lambda o, x: (o.apply("exp", [x]) - o.apply("exp", [-x])) * 0.5,
    "cosh": lambda o, x: (o.apply("exp", [x]) + o.apply("exp", [-x])) * 0.5,
    "tanh": lambda o, x: o.apply("sigmoid", [2.0 * x]) * 2.0 - 1.0,
    "abs": lambda o, x: o.apply("max", [x, -x]),
    "relu": lambda o, x: o.apply("max", [x, 0.0]),
    "sigmoid": lambda o, x: 1.0 / (o.apply("exp", [-x]) + 1.0),
    "softplus": lambda o, x: o.apply("relu", [x]) + o.apply("log", [o.apply("exp", [-o.apply("abs", [x])]) + 1.0]),
}


@final
class Symbols:
    """SymPy's expressions; numbers are exact, and constant powers too large to write out become 60-digit floats."""

    def number(self, leaf: Number, /) -> Any:
        import sympy

        return {"pi": sympy.pi, "e": sympy.E}.get(leaf.text) or sympy.Rational(leaf.text)

    def apply(self, operation: str, inputs: list[Any], /) -> Any:
        if operation == "**":
            return self.power(*inputs)
        return _OPERATORS[operation](*inputs) if operation in _OPERATORS else _symbolic()[operation](*inputs)

    def power(self, base: Any, exponent: Any) -> Any:
        """base ** exponent; exact unless it has thousands of digits."""
        import sympy

        if isinstance(base, sympy.Rational) and isinstance(exponent, sympy.Rational) and base not in (0, 1, -1):
            bits = max(int(base.p).bit_length(), int(base.q).bit_length())
            if bits * abs(exponent) > 4000 or int(exponent.q).bit_length() > 60:
                return sympy.Float(base, 60) ** sympy.Float(exponent, 60)
        return base**exponent


@cache
def _symbolic() -> dict[str, Callable[..., Any]]:
    import sympy

    def absolute(x: Any) -> Any:
        return sympy.Abs(x) if x.is_extended_real else sympy.Piecewise((-x, x < 0), (x, True))

    names = ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh")
    return {name: getattr(sympy, name) for name in names} | {
        "abs": absolute, "max": sympy.Max, "min": sympy.Min, "relu": lambda x: sympy.Max(x, 0),
        "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)), "softplus": lambda x: sympy.log(1 + sympy.exp(x)),
    }  # fmt: skip


NUMBERS, OBJECTS = Numbers(), Objects()


@cache
def symbols() -> Symbols:
    """SymPy's algebra; SymPy is imported when it is first used."""
    return Symbols()

