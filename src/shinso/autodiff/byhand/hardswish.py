r"""Hard swish: x times a ramp.

    f(x) = x min(6, max(0, x + 3)) / 6                        (1)
    f'(x) = 0 if x <= -3,  1 if x >= 3,  else (2x + 3) / 6    (2)

A parabola between two half-lines, and like the swish it imitates it dips below 0. At the two corners (2) takes the
slope of the half-line.

Howard et al. 2019 (MobileNetV3).
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, about


@final
class Hardswish:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x * (np.clip(x + 3, 0, 6) / 6)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        ramp = (2 * self.x + 3) / 6
        return grad * np.where(self.x <= -3, 0, np.where(self.x >= 3, 1, ramp))  # (2)


def example(rng: np.random.Generator) -> tuple[Hardswish, tuple[np.ndarray]]:
    """A layer and inputs on all three pieces."""
    return Hardswish(), (np.array([[-4.0], [-2], [0.5], [2], [4]]) + rng.uniform(-0.7, 0.7, (5, 3)),)


def deepest_at_minus_one_and_a_half() -> Check:
    """On 8,001 points of [-4, 4] the smallest value is -0.375, at -1.5.

    Source: (1) is x (x + 3) / 6 there
    """
    x = np.linspace(-4, 4, 8001)
    y = Hardswish().forward(x)
    return about(abs(float(y.min()) + 0.375) + abs(float(x[y.argmin()]) + 1.5), 0, 1e-12)


CARD = Card(
    name="Hard swish",
    name_ja="Hardswish(区分二次のスウィッシュ)",
    paper="Howard et al. 2019, Searching for MobileNetV3, arXiv:1905.02244",
    equations=(r"f(x) = x \min(6, \max(0, x + 3)) / 6",
               r"f'(x) = 0 \ \mathrm{if}\ x \leq -3,\quad 1 \ \mathrm{if}\ x \geq 3,\quad \mathrm{else}\ (2x + 3)/6"),
    summary="x times a ramp: a swish without an exponential, with its dip below 0.",
    summary_ja="x に直線の坂を掛けた関数。指数関数を使わないスウィッシュで、0 の下へのくぼみも持つ。",
    topics=("nn.hardswish",),
    facts=(deepest_at_minus_one_and_a_half,),
    twin="torch.nn.functional.hardswish",
)
