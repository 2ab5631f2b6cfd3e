r"""ELU: the identity on the right, an exponential that settles at -a on the left.

    f(x) = x if x > 0, else a (exp(x) - 1)                    (1)
    f'(x) = 1 if x > 0, else a exp(x)                         (2)

Negative outputs push the mean of the activations towards 0, and with a = 1 the two halves meet without a kink. At 0
the left formula holds: the slope is a. exp(x) - 1 loses its digits near 0; expm1 keeps them.

Clevert, Unterthiner, Hochreiter 2016.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, about, at_most


@final
class ELU:
    """Elementwise, any shape; `alpha` is a of (1)."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))  # (1), without the other half's overflow

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * np.where(self.x > 0, 1, self.alpha * np.exp(np.minimum(self.x, 0)))  # (2)


def example(rng: np.random.Generator) -> tuple[ELU, tuple[np.ndarray]]:
    """A layer and inputs of both signs, none within 0.05 of 0, where the second derivative jumps."""
    x = rng.uniform(0.05, 3, (2, 5))
    return ELU(), (x * np.where(np.arange(5) % 2, 1, -1),)


def no_kink_with_alpha_one() -> Check:
    """With a = 1 the slopes 1e-9 left and right of 0 differ by at most 1e-8; with a = 0.5 by 0.5.

    Source: Clevert, Unterthiner, Hochreiter 2016, equation (15)
    """
    def jump(alpha: float) -> float:
        layer = ELU(alpha)
        layer.forward(np.array([-1e-9, 1e-9]))
        left, right = layer.backward(np.ones(2))
        return right - left

    return at_most(abs(jump(1.0)) + abs(jump(0.5) - 0.5), 1e-8)


def settles_at_minus_alpha() -> Check:
    """With a = 1.5 the value at -10,000 in float32 is -1.5.

    Source: exp(x) tends to 0
    """
    return about(float(ELU(1.5).forward(np.array([-1e4], np.float32))[0]), -1.5, 0)


def digits_survive_near_zero() -> Check:
    """At x = -1e-12 the value is x + x^2 / 2 to a relative 1e-15; exp(x) - 1 is off by more than 1e-5 of it.

    Source: the series of exp
    """
    x = -1e-12
    right, value = x + x * x / 2, float(ELU().forward(np.array([x]))[0])
    naive = abs((np.exp(x) - 1) / right - 1)
    return at_most(abs(value / right - 1) if naive > 1e-5 else np.inf, 1e-15)


CARD = Card(
    name="ELU",
    name_ja="ELU(指数線形関数)",
    paper="Clevert, Unterthiner, Hochreiter 2016, Fast and accurate deep network learning by ELUs, arXiv:1511.07289",
    equations=(r"f(x) = x \ \mathrm{if}\ x > 0,\ \mathrm{else}\ a(e^x - 1)",
               r"f'(x) = 1 \ \mathrm{if}\ x > 0,\ \mathrm{else}\ a e^x"),
    summary="The identity on the right and an exponential that settles at -a on the left; smooth when a = 1.",
    summary_ja="右は恒等関数、左は -a に落ち着く指数関数。a = 1 のとき折れ目がない。",
    topics=("nn.elu",),
    facts=(no_kink_with_alpha_one, settles_at_minus_alpha, digits_survive_near_zero),
    notes=("The slides spell it eLU; the paper writes ELU.",),
    notes_ja=("スライドは eLU と書くが、論文の表記は ELU である。",),
    twin="torch.nn.functional.elu",
)
