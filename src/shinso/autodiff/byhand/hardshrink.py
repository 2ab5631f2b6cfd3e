r"""Hardshrink: what is small becomes 0, the rest stays.

    f(x) = x if |x| > c, else 0                               (1)
    f'(x) = 1 if |x| > c, else 0                              (2)

It keeps large values without pulling on them, at the price of a jump at |x| = c. It is the proximal map of counting:

    f(x) minimises  1/2 (u - x)^2 + c^2/2 [u != 0]  over u    (3)

Donoho and Johnstone 1994.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError


@final
class Hardshrink:
    """Elementwise, any shape; `threshold` is c of (1), 0 or more."""

    def __init__(self, threshold: float = 0.5):
        if not threshold >= 0:
            raise UserError("Hardshrink", f"the threshold {threshold} is negative", "give 0 or more")
        self.threshold = threshold

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.kept = np.abs(x) > self.threshold
        return np.where(self.kept, x, 0)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return np.where(self.kept, grad, 0)  # (2)


def example(rng: np.random.Generator) -> tuple[Hardshrink, tuple[np.ndarray]]:
    """A layer and inputs on both sides of both jumps, none within 0.1 of them."""
    return Hardshrink(), (rng.choice([-1.3, -0.8, -0.2, 0.3, 0.7, 2.1], (3, 6)) + rng.uniform(-0.1, 0.1, (3, 6)),)


def proximal_map_of_counting() -> Check:
    """No u on a grid of 601 points, 0 among them, makes (3) smaller than f(x) does, for 57 values of x and c = 0.7.

    Source: equation (3): keeping costs c^2/2, dropping costs x^2/2
    """
    x, u, c = np.linspace(-2, 2, 57), np.linspace(-3, 3, 601), 0.7
    u[300] = 0.0

    def cost(u: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (u - x) ** 2 / 2 + c**2 / 2 * (u != 0)

    return at_most(float(np.max(cost(Hardshrink(c).forward(x), x) - cost(u[:, None], x).min(0))), 1e-15)


def nothing_at_the_jumps() -> Check:
    """At -0.5 and 0.5, with c = 0.5, value and slope are 0; twice is once.

    Source: the convention of this file: |x| > c is strict
    """
    layer, x = Hardshrink(), np.array([-0.5, 0.5, 0.6, -2.0])
    once = layer.forward(x)
    slope = layer.backward(np.ones(4))
    off = np.abs(once - [0, 0, 0.6, -2]) + np.abs(slope - [0, 0, 1, 1]) + np.abs(layer.forward(once) - once)
    return exactly(float(off.max()), 0)


CARD = Card(
    name="Hardshrink",
    name_ja="Hardshrink(ハードしきい値関数)",
    paper="Donoho and Johnstone 1994, Ideal spatial adaptation by wavelet shrinkage, Biometrika 81",
    equations=(r"f(x) = x \ \mathrm{if}\ |x| > c,\ \mathrm{else}\ 0",
               r"f'(x) = 1 \ \mathrm{if}\ |x| > c,\ \mathrm{else}\ 0",
               r"f(x) = \mathrm{arg\,min}_u\ \frac{1}{2}(u - x)^2 + \frac{c^2}{2}[u \neq 0]"),
    summary="Sets what is small to 0 and leaves the rest: the proximal map of counting the entries that are not 0.",
    summary_ja="小さな値を 0 にし、残りはそのままにする。0 でない成分を数えるペナルティの近接写像である。",
    topics=("nn.hardshrink",),
    facts=(proximal_map_of_counting, nothing_at_the_jumps),
    twin="torch.nn.functional.hardshrink",
)
