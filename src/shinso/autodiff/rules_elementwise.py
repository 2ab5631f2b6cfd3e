r"""Rules of the operations that work entry by entry: y_k = f(x_k), g_k = f'(x_k) g_k.

Each line is one operation: its name, what NumPy computes, the derivative with respect to each input, written with the
output y where that is cheaper (d exp = exp), and the equation. At a kink the derivative is a choice, the usual one:
0 at the corner of relu and abs, one half each where two arguments of a maximum are equal, 1 at the ends of clip.
"""

import numpy as np

from shinso.autodiff._logistic import logistic
from shinso.autodiff.rules import Elementwise


def _as(mask: np.ndarray, like: np.ndarray) -> np.ndarray:
    """A mask as numbers of the type that `like` has, so that float32 stays float32."""
    return mask.astype(like.dtype)


def _share(wins: np.ndarray, ties: np.ndarray, y: np.ndarray) -> np.ndarray:
    """1 where an argument wins, one half where both are equal."""
    return _as(wins, y) + 0.5 * _as(ties, y)


def _power(p, x):
    """p x^(p-1), which is 0 for p = 0 also at x = 0."""
    return p * x ** np.where(p == 0, 1, p - 1)


def _power_by(p, x):
    """p x^(p-1) for a plain number p."""
    return 0.0 * x if p == 0 else p * x ** (p - 1)


add = Elementwise("add", np.add, (1, 1), "y = a + b; dy/da = 1, dy/db = 1")
subtract = Elementwise("subtract", np.subtract, (1, -1), "y = a - b; dy/da = 1, dy/db = -1")
multiply = Elementwise("multiply", np.multiply, (lambda y, a, b: b, lambda y, a, b: a),
                       "y = a b; dy/da = b, dy/db = a", "x")
divide = Elementwise("divide", np.true_divide, (lambda y, a, b: 1 / b, lambda y, a, b: -y / b),
                     "y = a / b; dy/da = 1 / b, dy/db = -y / b", "xy")
negative = Elementwise("negative", np.negative, (-1,), "y = -x; dy/dx = -1")
power = Elementwise("power", np.power, (lambda y, x, p: _power(p, x),
                                        lambda y, x, p: y * np.log(np.where(x > 0, x, 1))),
                    "y = x^p; dy/dx = p x^(p-1), dy/dp = y log x", "xy")
power_by = Elementwise("power_by", np.power, (lambda y, x, p: _power_by(p, x),), "y = x^p; dy/dx = p x^(p-1)", "x")
square = Elementwise("square", np.square, (lambda y, x: 2 * x,), "y = x^2; dy/dx = 2 x", "x")
sqrt = Elementwise("sqrt", np.sqrt, (lambda y, x: 0.5 / y,), "y = sqrt(x); dy/dx = 1 / (2 y)", "y")
reciprocal = Elementwise("reciprocal", np.reciprocal, (lambda y, x: -y * y,), "y = 1 / x; dy/dx = -y^2", "y")
exp = Elementwise("exp", np.exp, (lambda y, x: y,), "y = exp(x); dy/dx = y", "y")
expm1 = Elementwise("expm1", np.expm1, (lambda y, x: y + 1,), "y = exp(x) - 1; dy/dx = y + 1", "y")
log = Elementwise("log", np.log, (lambda y, x: 1 / x,), "y = log(x); dy/dx = 1 / x", "x")
log1p = Elementwise("log1p", np.log1p, (lambda y, x: 1 / (1 + x),), "y = log(1 + x); dy/dx = 1 / (1 + x)", "x")
sin = Elementwise("sin", np.sin, (lambda y, x: np.cos(x),), "y = sin(x); dy/dx = cos(x)", "x")
cos = Elementwise("cos", np.cos, (lambda y, x: -np.sin(x),), "y = cos(x); dy/dx = -sin(x)", "x")
tan = Elementwise("tan", np.tan, (lambda y, x: 1 + y * y,), "y = tan(x); dy/dx = 1 + y^2", "y")
arctan = Elementwise("arctan", np.arctan, (lambda y, x: 1 / (1 + x * x),), "y = arctan(x); dy/dx = 1 / (1 + x^2)", "x")
sinh = Elementwise("sinh", np.sinh, (lambda y, x: np.cosh(x),), "y = sinh(x); dy/dx = cosh(x)", "x")
cosh = Elementwise("cosh", np.cosh, (lambda y, x: np.sinh(x),), "y = cosh(x); dy/dx = sinh(x)", "x")
tanh = Elementwise("tanh", np.tanh, (lambda y, x: 1 - y * y,), "y = tanh(x); dy/dx = 1 - y^2", "y")
sigmoid = Elementwise("sigmoid", logistic, (lambda y, x: y * (1 - y),), "y = 1 / (1 + exp(-x)); dy/dx = y (1 - y)", "y")
softplus = Elementwise("softplus", lambda x: np.logaddexp(x, x.dtype.type(0)), (lambda y, x: sigmoid(x),),
                       "y = log(1 + exp(x)); dy/dx = 1 / (1 + exp(-x))", "x")
relu = Elementwise("relu", lambda x: np.maximum(x, 0), (lambda y, x: y > 0,), "y = max(x, 0); dy/dx = [y > 0]", "y")
leaky_relu = Elementwise("leaky_relu", lambda x, slope: np.where(x > 0, x, slope * x),
                         (lambda y, x, slope: np.where(x > 0, np.ones((), x.dtype), x.dtype.type(slope)),),
                         "y = x for x > 0, else slope x; dy/dx = 1 or slope", "x")
absolute = Elementwise("absolute", np.absolute, (lambda y, x: np.sign(x),), "y = |x|; dy/dx = sign(x)", "x")
sign = Elementwise("sign", np.sign, (lambda y, x: 0.0,), "y = sign(x); dy/dx = 0")
maximum = Elementwise("maximum", np.maximum, (lambda y, a, b: _share(a > b, a == b, y),
                                              lambda y, a, b: _share(b > a, a == b, y)),
                      "y = max(a, b); dy/da = [a > b] + [a = b] / 2, dy/db = [b > a] + [a = b] / 2", "x")
minimum = Elementwise("minimum", np.minimum, (lambda y, a, b: _share(a < b, a == b, y),
                                              lambda y, a, b: _share(b < a, a == b, y)),
                      "y = min(a, b); dy/da = [a < b] + [a = b] / 2, dy/db = [b < a] + [a = b] / 2", "x")
logaddexp = Elementwise("logaddexp", np.logaddexp, (lambda y, a, b: sigmoid(a - b), lambda y, a, b: sigmoid(b - a)),
                        "y = log(exp(a) + exp(b)); dy/da = 1 / (1 + exp(b - a)), dy/db = 1 / (1 + exp(a - b))", "x")
arctan2 = Elementwise("arctan2", np.arctan2, (lambda y, a, b: b / (a * a + b * b),
                                              lambda y, a, b: -a / (a * a + b * b)),
                      "y = the angle of (b, a); dy/da = b / (a^2 + b^2), dy/db = -a / (a^2 + b^2)", "x")
where = Elementwise("where", np.where, (None, lambda y, c, a, b: c, lambda y, c, a, b: np.logical_not(c)),
                    "y = a where c, else b; dy/da = [c], dy/db = [not c]", "x")
clip = Elementwise("clip", np.clip, (lambda y, x, low, high: _inside(x, low, high),),
                   "y = min(max(x, low), high); dy/dx = [low <= x <= high]", "x")


def _inside(x, low: float | None, high: float | None) -> np.ndarray:
    above = np.ones(x.shape, bool) if low is None else x >= low
    return above if high is None else np.logical_and(above, x <= high)


UFUNCS = {np.add: add, np.subtract: subtract, np.multiply: multiply, np.true_divide: divide, np.negative: negative,
          np.square: square, np.sqrt: sqrt, np.reciprocal: reciprocal, np.exp: exp, np.expm1: expm1, np.log: log,
          np.log1p: log1p, np.sin: sin, np.cos: cos, np.tan: tan, np.arctan: arctan, np.sinh: sinh, np.cosh: cosh,
          np.tanh: tanh, np.absolute: absolute, np.sign: sign, np.maximum: maximum, np.minimum: minimum,
          np.logaddexp: logaddexp, np.arctan2: arctan2}
"""NumPy's own functions and the rule of each: np.exp(tensor) is exp(tensor)"""
