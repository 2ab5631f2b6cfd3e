r"""Softshrink: everything moves towards 0 by c, and what is nearer is 0.

    f(x) = sign(x) max(|x| - c, 0)                            (1)
    f'(x) = 1 if |x| > c, else 0                              (2)

Continuous, unlike the hard threshold, because it also shortens what it keeps. It is the proximal map of the absolute
value, the heart of ISTA:

    f(x) minimises  1/2 (u - x)^2 + c |u|  over u             (3)

Donoho 1995.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, about, at_most
from shinso.core.errors import UserError


@final
class Softshrink:
    """Elementwise, any shape; `threshold` is c of (1), 0 or more."""

    def __init__(self, threshold: float = 0.5):
        if not threshold >= 0:
            raise UserError("Softshrink", f"the threshold {threshold} is negative", "give 0 or more")
        self.threshold = threshold

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.passed = np.abs(x) > self.threshold
        return np.sign(x) * np.maximum(np.abs(x) - self.threshold, 0)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * self.passed  # (2)


def example(rng: np.random.Generator) -> tuple[Softshrink, tuple[np.ndarray]]:
    """A layer and inputs inside and outside of the threshold, none within 0.1 of it."""
    return Softshrink(), (np.array([[-2.0], [-0.8], [0.2], [0.9]]) + rng.uniform(-0.19, 0.19, (4, 5)),)


def proximal_map_of_the_absolute_value() -> Check:
    """No u on a grid of 2,001 points makes (3) smaller than f(x) does, for 57 values of x and c = 0.7.

    Source: Donoho 1995; equation (3)
    """
    x, u = np.linspace(-2, 2, 57), np.linspace(-3, 3, 2001)[:, None]
    best = ((u - x) ** 2 / 2 + 0.7 * np.abs(u)).min(0)
    y = Softshrink(0.7).forward(x)
    return at_most(float(np.max((y - x) ** 2 / 2 + 0.7 * np.abs(y) - best)), 1e-15)


def a_threshold_below_zero_doubles() -> Check:
    """With c = -1.5 the notebook's (x - c)(x > c) + (x + c)(x < -c) is 2x between -1 and 1; here c is refused.

    Source: 002, the notebooks' shrinkage function, whose c is learned and free to turn negative
    """
    x, c = np.linspace(-1, 1, 101), -1.5
    doubled = float(np.abs((x - c) * (x > c) + (x + c) * (x < -c) - 2 * x).max())
    try:
        Softshrink(c)
    except UserError:
        return about(doubled, 0, 1e-15)
    return about(1, 0, 0)


CARD = Card(
    name="Softshrink",
    name_ja="Softshrink(軟しきい値関数・縮小関数)",
    paper="Donoho 1995, De-noising by soft-thresholding, doi:10.1109/18.382009",
    equations=(r"f(x) = \mathrm{sign}(x) \max(|x| - c, 0)", r"f'(x) = 1 \ \mathrm{if}\ |x| > c,\ \mathrm{else}\ 0",
               r"f(x) = \mathrm{arg\,min}_u\ \frac{1}{2}(u - x)^2 + c|u|"),
    summary="Moves everything towards 0 by c and stops there: the proximal map of the absolute value.",
    summary_ja="すべてを c だけ 0 に近づけ、0 で止める。絶対値の近接写像である。",
    topics=("nn.softshrink",),
    facts=(proximal_map_of_the_absolute_value, a_threshold_below_zero_doubles),
    notes=("The notebooks learn the threshold; once negative, their formula returns 2x for small x: it must not be.",),
    notes_ja=("ノートブックはしきい値を学習する。負になると小さな x で 2x を返す。0 以上に保つこと。",),
    twin="torch.nn.functional.softshrink",
)
