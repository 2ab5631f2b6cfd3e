r"""Every activation of the course as a function of Tensors (recorded) or ndarrays (plainly computed).

Each is one line made of the engine's operations, so the engine finds its derivatives, the second ones too; beside it,
in `byhand`, stands the file that says what those derivatives are. A piecewise one is `where`: the piece that is not
taken sends nothing back. At a kink it is the piece that holds there by its definition, as in `byhand`.

The one thing that the operations lack is the normal distribution function of the GELU,

    P(x) = P[z <= x],  P'(x) = exp(-x^2 / 2) / sqrt(2 pi)     (1)

which is a rule of its own here.
"""

from math import pi, sqrt
from typing import Any, Literal

import numpy as np

from shinso.autodiff.byhand.selu import ALPHA, SCALE
from shinso.autodiff.functions import (
    absolute,
    clip,
    exp,
    expm1,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    sign,
    softmax,
    square,
    tanh,
    where,
)
from shinso.autodiff.functions import softplus as _softplus
from shinso.autodiff.rules import Array, Elementwise

__all__ = [
    "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax",
    "logsigmoid", "mish", "normal_cdf", "prelu", "relu", "rrelu", "selu", "sigmoid", "silu", "softmax", "softmin",
    "softplus", "softshrink", "softsign", "square_activation", "step", "tanh", "tanhshrink", "threshold",
]  # fmt: skip


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr  # here: importing this file shall not wait for scipy

    return ndtr(x)


normal_cdf = Elementwise("normal_cdf", _normal_cdf, (lambda y, x: exp(-0.5 * x * x) / sqrt(2 * pi),),
                         "y = P[z <= x], z ~ N(0, 1); dy/dx = exp(-x^2 / 2) / sqrt(2 pi)", "x")  # (1)


def step(x: Array) -> Any:
    """1 from 0 on, 0 below; its derivative is 0."""
    return (sign(sign(x) + 0.5) + 1) / 2


def hardtanh(x: Array, low: float = -1.0, high: float = 1.0) -> Any:
    """x between low and high, else the nearer of the two."""
    return where(x <= low, low, where(x >= high, high, x))


def hardsigmoid(x: Array) -> Any:
    """A ramp: 0 up to -3, (x + 3)/6, 1 from 3 on."""
    return where(x <= -3, 0.0, where(x >= 3, 1.0, (x + 3) / 6))


def hardswish(x: Array) -> Any:
    """x times the ramp of the hard sigmoid."""
    return where(x <= -3, 0.0, where(x >= 3, x, x * (x + 3) / 6))


def hardshrink(x: Array, c: float = 0.5) -> Any:
    """x where it is larger than c >= 0 in size, else 0."""
    return where(abs(x) > c, x, 0.0)


def softshrink(x: Array, c: float = 0.5) -> Any:
    """x moved towards 0 by c >= 0, and 0 where it is nearer."""
    return where(x > c, x - c, where(x < -c, x + c, 0.0))


def tanhshrink(x: Array) -> Any:
    """x - tanh(x); the file in `byhand` keeps its digits near 0."""
    return x - tanh(x)


def threshold(x: Array, t: float, value: float) -> Any:
    """x where it exceeds t, else the value."""
    return where(x > t, x, value)


def prelu(x: Array, a: Array) -> Any:
    """x where it is positive, else a x; a: one slope, (1,), or one for each entry of axis 1."""
    shaped = a if a.size == 1 else a.reshape(-1, *(1,) * (x.ndim - 2))
    return where(x > 0, x, shaped * x)


def rrelu(x: Array, draw: np.random.Generator | None = None, low: float = 1 / 8, high: float = 1 / 3) -> Any:
    """x where it is positive, else a x with slopes from `draw`, uniform on [low, high]; without it their mean."""
    if draw is None:
        return leaky_relu(x, (low + high) / 2)
    return where(x > 0, x, draw.uniform(low, high, x.shape).astype(x.dtype) * x)


def elu(x: Array, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha (exp(x) - 1)."""
    return where(x > 0, x, alpha * expm1(clip(x, high=0)))


def selu(x: Array) -> Any:
    """The ELU whose two constants keep mean 0 and variance 1."""
    return SCALE * elu(x, ALPHA)


def celu(x: Array, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha (exp(x / alpha) - 1)."""
    return where(x > 0, x, alpha * expm1(clip(x, high=0) / alpha))


def gelu(x: Array, approximate: Literal["none", "tanh"] = "none") -> Any:
    """x P(x) with the normal distribution function, or its approximation by tanh."""
    if approximate == "none":
        return x * normal_cdf(x)
    return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)))


def silu(x: Array, beta: float = 1.0) -> Any:
    """x sigmoid(beta x); beta = 1 is SiLU, any other the swish."""
    return x * sigmoid(beta * x)


def softplus(x: Array, beta: float = 1.0) -> Any:
    """log(1 + exp(beta x)) / beta, without overflow and without a threshold."""
    return _softplus(beta * x) / beta


def mish(x: Array) -> Any:
    """x tanh(log(1 + exp(x)))."""
    return x * tanh(_softplus(x))


def logsigmoid(x: Array) -> Any:
    """log sigmoid(x) without the sigmoid."""
    return -_softplus(-x)


def softsign(x: Array) -> Any:
    """x / (1 + |x|)."""
    return x / (1 + absolute(x))


def softmin(x: Array, axis: int = -1) -> Any:
    """softmax(-x): the smallest gets most."""
    return softmax(-x, axis)


def square_activation(x: Array) -> Any:
    """x^2."""
    return square(x)
