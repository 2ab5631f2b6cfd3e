r"""CELU: an ELU without a kink, whatever its parameter.

    f(x) = max(0, x) + min(0, a (exp(x/a) - 1))               (1)
    f'(x) = 1 if x > 0, else exp(x/a)                         (2)

The ELU a (exp(x) - 1) meets the identity with slope a: smooth for a = 1 alone. Dividing by a in the exponent makes the
slope 1 for every a > 0; a is then a mere change of scale, f_a(x) = a f_1(x/a).

Barron 2017.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.elu import ELU
from shinso.core.card import Card, Check, at_most, exactly


@final
class CELU:
    """Elementwise, any shape; `alpha` is a of (1), above 0."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.negative = np.minimum(x, 0) / self.alpha
        return np.maximum(x, 0) + self.alpha * np.expm1(self.negative)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * np.exp(self.negative)  # (2): exp(0) on the right


def example(rng: np.random.Generator) -> tuple[CELU, tuple[np.ndarray]]:
    """A layer and inputs of both signs, in order, none within 0.05 of 0, where the second derivative jumps."""
    return CELU(), (np.sort(np.concatenate([rng.uniform(-4, -0.05, 6), rng.uniform(0.05, 4, 6)])).reshape(3, 4),)


def an_elu_for_alpha_one() -> Check:
    """With a = 1 it is the ELU, value and slope, exactly.

    Source: equations (1) and (2)
    """
    x, ones = np.linspace(-5, 5, 1001), np.ones(1001)
    ours, theirs = CELU(), ELU()
    off = np.abs(ours.forward(x) - theirs.forward(x)) + np.abs(ours.backward(ones) - theirs.backward(ones))
    return exactly(float(off.max()), 0)


def smooth_for_every_alpha() -> Check:
    """For a = 0.1, 0.5, 2 and 10 the slopes 1e-9 left and right of 0 differ by at most 2e-8.

    Source: Barron 2017: exp(0) = 1
    """
    jumps = []
    for alpha in (0.1, 0.5, 2.0, 10.0):
        layer = CELU(alpha)
        layer.forward(np.array([-1e-9, 1e-9]))
        jumps.append(abs(float(np.diff(layer.backward(np.ones(2)))[0])))
    return at_most(max(jumps), 2e-8)


CARD = Card(
    name="CELU",
    name_ja="CELU(連続微分可能な指数線形関数)",
    paper="Barron 2017, Continuously differentiable exponential linear units, arXiv:1704.07483",
    equations=(r"f(x) = \max(0, x) + \min(0, a(e^{x/a} - 1))",
               r"f'(x) = 1 \ \mathrm{if}\ x > 0,\ \mathrm{else}\ e^{x/a}"),
    summary="An ELU that is continuously differentiable for every a, not for a = 1 alone.",
    summary_ja="a = 1 に限らず、どの a でも連続微分可能な ELU。",
    topics=("nn.celu",),
    facts=(an_elu_for_alpha_one, smooth_for_every_alpha),
    notes=("torch's backward rounds 1/a to float32 even for float64 inputs: with a = 0.4 it is off by 1e-8.",),
    notes_ja=("torch の逆伝播は float64 の入力でも 1/a を float32 に丸め、a = 0.4 で傾きが 1e-8 ずれる。",),
    twin="torch.nn.functional.celu",
)
