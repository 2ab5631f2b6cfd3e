r"""SiLU, also called swish: x times its own sigmoid.

    f(x) = x s(b x),  s(u) = 1 / (1 + exp(-u))                (1)
    f'(x) = s(b x) + b x s(b x) (1 - s(b x))                  (2)

SiLU is b = 1. Swish has the b: 0 makes it the line x/2, infinity makes it ReLU. For b = 1 the minimum lies where the
slope 1 + x (1 - s) vanishes, and there the value is x + 1: depth and place differ by exactly one.

Elfwing, Uchibe, Doya 2017; Ramachandran, Zoph, Le 2017 (swish).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.sigmoid import Sigmoid
from shinso.core.card import Card, Check, about, at_most


@final
class SiLU:
    """Elementwise, any shape; `beta` is b of (1)."""

    def __init__(self, beta: float = 1.0):
        self.beta, self.gate = beta, Sigmoid()

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x * self.gate.forward(self.beta * x)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        s = self.gate.y
        return grad * (s + self.beta * self.x * s * (1 - s))  # (2)


def example(rng: np.random.Generator) -> tuple[SiLU, tuple[np.ndarray]]:
    """A layer and normal numbers, three wide."""
    return SiLU(), (3 * rng.standard_normal((6, 3)),)


def depth_and_place_differ_by_one() -> Check:
    """The minimum is at -1.2784645, to 1e-7, and its value is that place plus 1, to 1e-15.

    Source: 1 + x (1 - s) = 0 in (1); the zero of (2) by bisection
    """
    layer, left, right = SiLU(), -2.0, -1.0
    for _ in range(60):
        middle = (left + right) / 2
        layer.forward(np.array([middle]))
        left, right = (middle, right) if layer.backward(np.ones(1))[0] < 0 else (left, middle)
    value = float(layer.forward(np.array([right]))[0])
    return at_most(abs(value - (right + 1)) if abs(right + 1.2784645) < 1e-7 else np.inf, 1e-15)


def between_a_line_and_relu() -> Check:
    """b = 0 gives x/2 exactly; b = 10,000 differs from ReLU by at most 2.8e-5.

    Source: Ramachandran, Zoph, Le 2017, section 4; the depth of the minimum divided by b
    """
    x = np.linspace(-2, 2, 400_001)
    line = np.abs(SiLU(0.0).forward(x) - x / 2).max()
    return at_most(float(line + np.abs(SiLU(1e4).forward(x) - np.maximum(x, 0)).max()), 2.8e-5)


def the_minimum() -> Check:
    """The smallest value is -0.2784645427610738, to 1e-12, on a grid of step 1e-6 around it.

    Source: minus W(1/e), the Lambert function
    """
    return about(float(SiLU().forward(np.arange(-1.279, -1.278, 1e-6)).min()), -0.2784645427610738, 1e-12)


CARD = Card(
    name="SiLU (swish)",
    name_ja="SiLU(スウィッシュ)",
    paper="Elfwing, Uchibe, Doya 2017, arXiv:1702.03118; Ramachandran, Zoph, Le 2017, arXiv:1710.05941",
    equations=(r"f(x) = x\,\sigma(\beta x)",
               r"f'(x) = \sigma(\beta x) + \beta x\,\sigma(\beta x)(1 - \sigma(\beta x))"),
    summary="x times its own sigmoid; with beta it runs from the line x/2 to ReLU.",
    summary_ja="x に自分自身のシグモイドを掛ける。β により直線 x/2 から ReLU まで変わる。",
    topics=("nn.silu",),
    facts=(depth_and_place_differ_by_one, between_a_line_and_relu, the_minimum),
    notes=("Swish has a parameter beta, learned in the paper; SiLU is beta = 1.",),
    notes_ja=("スウィッシュにはパラメータ β があり、論文では学習される。SiLU は β = 1 である。",),
    twin="torch.nn.functional.silu",
)
