r"""The sigmoid: a step with a slope.

    f(x) = 1 / (1 + exp(-x))                                  (1)
    f'(x) = f(x) (1 - f(x))                                   (2)

The derivative needs the output alone. The surprise: it is never above 1/4, so a chain of L sigmoids multiplies a
gradient by at most 4^-L before any weight is seen. exp(-x) overflows where x is very negative; with e = exp(-|x|),
which never does, f is 1 / (1 + e) on the right and e / (1 + e) on the left.

Verhulst 1838 (the logistic curve); Rumelhart, Hinton, Williams 1986 (as a unit that can be trained).
"""

import warnings
from typing import final

import numpy as np

from shinso.core.card import Card, Check, about, at_most, exactly


@final
class Sigmoid:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        e = np.exp(-np.abs(x))
        self.y = np.where(x >= 0, 1, e) / (1 + e)  # (1)
        return self.y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * self.y * (1 - self.y)  # (2)


def example(rng: np.random.Generator) -> tuple[Sigmoid, tuple[np.ndarray]]:
    """A layer and inputs on both sides of the step."""
    return Sigmoid(), (rng.normal(0, 3, (4, 5)),)


def half_way_at_zero() -> Check:
    """f(0) is exactly 1/2 and the slope there exactly 1/4, the largest on a grid of 20,001 points.

    Source: f (1 - f) is largest where f = 1/2
    """
    layer = Sigmoid()
    value = layer.forward(np.linspace(-10, 10, 20_001))
    slope = layer.backward(np.ones(20_001))
    return exactly(abs(value[10_000] - 0.5) + abs(slope[10_000] - 0.25) + abs(slope.max() - 0.25), 0)


def point_symmetric() -> Check:
    """f(-x) = 1 - f(x) to 1e-15.

    Source: multiply (1) by exp(x) / exp(x)
    """
    x = np.linspace(-40, 40, 1001)
    return at_most(float(np.abs(Sigmoid().forward(-x) - (1 - Sigmoid().forward(x))).max()), 1e-15)


def finite_far_out() -> Check:
    """At -10,000 and 10,000 in float32 value and slope are 0, 1 and 0, 0 without a floating-point warning.

    Source: exp(-|x|) is at most 1
    """
    with np.errstate(all="raise", under="ignore"):
        layer = Sigmoid()
        value = layer.forward(np.array([-1e4, 1e4], np.float32))
        slope = layer.backward(np.ones(2, np.float32))
    return exactly(float(np.abs(value - [0, 1]).max() + np.abs(slope).max()), 0)


def the_plain_formula_overflows() -> Check:
    """Written as 1 / (1 + exp(-x)), the value at -710 is right and NumPy warns of an overflow once.

    Source: exp(709.78) is the largest float64
    """
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        value = 1 / (1 + np.exp(-np.array([-710.0])))
    return about(float(value[0]) + sum("overflow" in str(w.message) for w in heard), 1, 1e-300)


CARD = Card(
    name="Sigmoid",
    name_ja="シグモイド関数",
    paper="Verhulst 1838; Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors",
    equations=(r"f(x) = \frac{1}{1 + e^{-x}}", r"f'(x) = f(x)(1 - f(x))"),
    summary="A step with a slope, from 0 to 1; its derivative is at most 1/4, and that is how gradients vanish.",
    summary_ja="0 から 1 へなめらかに移る階段。導関数は 1/4 以下で、これが勾配消失の源になる。",
    topics=("nn.sigmoid",),
    facts=(half_way_at_zero, point_symmetric, finite_far_out, the_plain_formula_overflows),
    notes=("The article's exp(-x) overflows below -709: the result is right, but NumPy warns. exp(-|x|) never does.",),
    notes_ja=("記事の exp(-x) は x < -709 であふれ、結果は正しいが警告が出る。exp(-|x|) はあふれない。",),
    twin="torch.sigmoid",
)
