r"""Softplus: ReLU with a rounded corner.

    f(x) = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))   (1)
    f'(x) = 1 / (1 + exp(-x))                                 (2)

It is the integral of the sigmoid. The second form of (1) never overflows, so no threshold is needed: torch takes x
itself above 20, which is off by up to exp(-20).

Dugas, Bengio, Belisle, Nadeau, Garcia 2001.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.sigmoid import Sigmoid
from shinso.core.card import Card, Check, about, at_most


@final
class Softplus:
    """Elementwise, any shape; with `beta` it is f(beta x) / beta, which nears ReLU as beta grows."""

    def __init__(self, beta: float = 1.0):
        self.beta, self.slope = beta, Sigmoid()

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.slope.forward(self.beta * x)
        return np.maximum(x, 0) + np.log1p(np.exp(-self.beta * np.abs(x))) / self.beta  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * self.slope.y  # (2)


def example(rng: np.random.Generator) -> tuple[Softplus, tuple[np.ndarray]]:
    """A layer and inputs of both signs, also close to 0."""
    return Softplus(), (np.concatenate([rng.normal(0, 4, 9), [0.0, 1e-3, -1e-3]]),)


def the_slope_is_the_sigmoid() -> Check:
    """The slope is 1 / (1 + exp(-x)), written out here, to 1e-15 on [-40, 40].

    Source: equation (2)
    """
    x = np.linspace(-40, 40, 801)
    layer = Softplus()
    layer.forward(x)
    return at_most(float(np.abs(layer.backward(np.ones(801)) - 1 / (1 + np.exp(-x))).max()), 1e-15)


def the_two_halves_differ_by_x() -> Check:
    """f(x) - f(-x) = x to 1e-14 on [-40, 40], and f(0) = log 2 to 1e-16.

    Source: log(1 + e^x) = x + log(1 + e^-x)
    """
    x = np.linspace(-40, 40, 801)
    off = np.abs(Softplus().forward(x) - Softplus().forward(-x) - x).max()
    return at_most(float(off) if abs(Softplus().forward(np.zeros(1))[0] - np.log(2)) <= 1e-16 else np.inf, 1e-14)


def the_threshold_that_is_not_needed() -> Check:
    """Taking x itself above 20, as torch does, is off by at most 2.0612e-9, just above 20.

    Source: log(1 + exp(-20))
    """
    x = np.linspace(np.nextafter(20, 21), 60, 1000)
    return about(float(np.max(Softplus().forward(x) - x)), 2.0612e-9, 1e-13)


CARD = Card(
    name="Softplus",
    name_ja="Softplus(ソフトプラス)",
    paper="Dugas, Bengio, Belisle, Nadeau, Garcia 2001, Incorporating second-order functional knowledge, NIPS 13",
    equations=(r"f(x) = \log(1 + e^x) = \max(x, 0) + \log(1 + e^{-|x|})", r"f'(x) = \frac{1}{1 + e^{-x}}"),
    summary="ReLU with a rounded corner; its derivative is the sigmoid.",
    summary_ja="角を丸めた ReLU。導関数はシグモイドである。",
    topics=("nn.softplus",),
    facts=(the_slope_is_the_sigmoid, the_two_halves_differ_by_x, the_threshold_that_is_not_needed),
    notes=("torch switches to x above 20, an error below 2.1e-9: the two agree to 1e-12 up to 20 only.",),
    notes_ja=("torch は 20 を超えると x に切り替え、その誤差は 2.1e-9 未満である。1e-12 の一致は 20 までに限られる。",),
    twin="torch.nn.functional.softplus",
)
