r"""Hardtanh: tanh with corners.

    f(x) = -1 if x < -1,  1 if x > 1,  else x                 (1)
    f'(x) = 1 if -1 < x < 1, else 0                           (2)

A clip, nothing more; applied twice it changes nothing. At the corners x = -1 and x = 1 there is no derivative; (2)
takes 0 there, as torch does.

Collobert 2004.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, exactly


@final
class Hardtanh:
    """Elementwise, any shape; clips to [low, high]."""

    def __init__(self, low: float = -1.0, high: float = 1.0):
        self.low, self.high = low, high

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.inside = (self.low < x) & (x < self.high)
        return np.clip(x, self.low, self.high)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * self.inside  # (2)


def example(rng: np.random.Generator) -> tuple[Hardtanh, tuple[np.ndarray]]:
    """A layer and inputs around halves, none near a corner."""
    return Hardtanh(), (rng.integers(-3, 3, (4, 4)) + rng.uniform(0.2, 0.8, (4, 4)),)


def twice_is_once() -> Check:
    """f(f(x)) = f(x) exactly.

    Source: what is in [-1, 1] is not moved
    """
    once = Hardtanh().forward(np.linspace(-3, 3, 601))
    return exactly(float(np.abs(Hardtanh().forward(once) - once).max()), 0)


def no_slope_at_the_corners() -> Check:
    """At -1, -0.5, 0.5 and 1 the slopes are 0, 1, 1 and 0.

    Source: the convention of this file, equation (2)
    """
    layer = Hardtanh()
    layer.forward(np.array([-1, -0.5, 0.5, 1]))
    return exactly(float(np.abs(layer.backward(np.ones(4)) - [0, 1, 1, 0]).max()), 0)


CARD = Card(
    name="Hardtanh",
    name_ja="Hardtanh",
    paper="Collobert 2004, Large scale machine learning, PhD thesis, Universite Paris VI",
    equations=(r"f(x) = \min(1, \max(-1, x))", r"f'(x) = 1 \ \mathrm{if}\ -1 < x < 1,\ \mathrm{else}\ 0"),
    summary="tanh with corners: the identity between -1 and 1, constant outside.",
    summary_ja="tanh を折れ線にした関数。-1 と 1 の間は恒等関数、外側では一定である。",
    topics=("nn.hardtanh",),
    facts=(twice_is_once, no_slope_at_the_corners),
    notes=("The article mixes the variables x and z in its cases.",
           "At x = 1 and x = -1 the article's derivative is 1; here, as in torch, it is 0."),
    notes_ja=("記事は場合分けの中で変数 x と z を混ぜている。",
              "x = 1 と x = -1 での導関数は記事では 1、ここでは torch と同じく 0 とする。"),
    twin="torch.nn.functional.hardtanh",
)
