r"""SELU: an ELU scaled so that normal numbers stay normal.

    f(x) = l x if x > 0, else l a (exp(x) - 1)                (1)
    f'(x) = l if x > 0, else l a exp(x)                       (2)

l and a are no taste: they solve E f(z) = 0 and E f(z)^2 = 1 for z ~ N(0, 1). With q = erfc(1/sqrt 2) sqrt e,
r = erfc(sqrt 2) e^2, the half moments of exp are E[exp(z); z < 0] = q/2 and E[exp(2z); z < 0] = r/2, so

    a = sqrt(2/pi) / (1 - q)                                  (3)
    l = ((1 + a^2 (r - 2q + 1)) / 2)^(-1/2)                   (4)

Then mean 0 and variance 1 are a fixed point of a wide layer with normalised weights: it needs no batch normalisation.

Klambauer, Unterthiner, Mayr, Hochreiter 2017.
"""

from math import e, erfc, pi, sqrt
from typing import final

import numpy as np

from shinso.core.card import Card, Check, about

_Q, _R = erfc(1 / sqrt(2)) * sqrt(e), erfc(sqrt(2)) * e**2
ALPHA = sqrt(2 / pi) / (1 - _Q)  # (3)
SCALE = ((1 + ALPHA**2 * (_R - 2 * _Q + 1)) / 2) ** -0.5  # (4)


@final
class SELU:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return SCALE * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0)))  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * (SCALE * np.where(self.x > 0, 1, ALPHA * np.exp(np.minimum(self.x, 0))))  # (2)


def example(rng: np.random.Generator) -> tuple[SELU, tuple[np.ndarray]]:
    """A layer and inputs of both signs, none within 0.1 of the kink."""
    x = rng.normal(0, 1, (5, 4))
    return SELU(), (x + 0.1 * np.sign(x),)


def constants_of_the_paper() -> Check:
    """(3) and (4) give 1.6732632423543778 and 1.0507009873554805, to 1e-14 in sum.

    Source: Klambauer, Unterthiner, Mayr, Hochreiter 2017, section 2.3
    """
    return about(abs(ALPHA - 1.6732632423543778) + abs(SCALE - 1.0507009873554805), 0, 1e-14)


def normal_numbers_stay_normal() -> Check:
    """For z ~ N(0, 1) mean of f(z) is 0 and mean of f(z)^2 is 1 by quadrature: off by at most 1e-12 together.

    Source: Klambauer, Unterthiner, Mayr, Hochreiter 2017, theorem 1; 80 Gauss-Legendre points on each side of the kink
    """
    nodes, weights = np.polynomial.legendre.leggauss(80)
    z = np.concatenate([7 * (nodes - 1), 7 * (nodes + 1)])
    density = np.tile(7 * weights, 2) * np.exp(-z * z / 2) / sqrt(2 * pi)
    y = SELU().forward(z)
    return about(abs(float(density @ y)) + abs(float(density @ y**2) - 1), 0, 1e-12)


CARD = Card(
    name="SELU",
    name_ja="SELU(スケール付き指数線形関数)",
    paper="Klambauer, Unterthiner, Mayr, Hochreiter 2017, Self-normalizing neural networks, arXiv:1706.02515",
    equations=(r"f(x) = \lambda x \ \mathrm{if}\ x > 0,\ \mathrm{else}\ \lambda\alpha(e^x - 1)",
               r"f'(x) = \lambda \ \mathrm{if}\ x > 0,\ \mathrm{else}\ \lambda\alpha e^x",
               r"\alpha = \frac{\sqrt{2/\pi}}{1 - q},\quad q = \mathrm{erfc}(1/\sqrt{2})\sqrt{e}",
               r"\lambda = (\frac{1}{2}(1 + \alpha^2(r - 2q + 1)))^{-1/2},\quad r = \mathrm{erfc}(\sqrt{2})\,e^2"),
    summary="An ELU scaled so that numbers of mean 0 and variance 1 keep them through any number of layers.",
    summary_ja="平均 0、分散 1 の数がいくつの層を通ってもそのままに保たれるよう尺度を定めた ELU。",
    topics=("nn.selu",),
    facts=(constants_of_the_paper, normal_numbers_stay_normal),
    twin="torch.nn.functional.selu",
)
