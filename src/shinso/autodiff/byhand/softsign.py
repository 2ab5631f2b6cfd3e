r"""Softsign: a sign that makes up its mind slowly.

    f(x) = x / (1 + |x|)                                      (1)
    f'(x) = 1 / (1 + |x|)^2                                   (2)

Like tanh it runs from -1 to 1 with slope 1 at 0, but it nears its ends like 1/x instead of exponentially: far out its
gradient is small where that of tanh is nothing at all.

Bergstra, Desjardins, Lamblin, Bengio 2009.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.tanh import Tanh
from shinso.core.card import Card, Check, at_least, exactly


@final
class Softsign:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x / (1 + np.abs(x))  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad / (1 + np.abs(self.x)) ** 2  # (2)


def example(rng: np.random.Generator) -> tuple[Softsign, tuple[np.ndarray]]:
    """A layer and inputs near 0 and far out; none within 0.2 of 0, where the second derivative jumps."""
    return Softsign(), (rng.uniform(0.2, 1, (4, 4)) * np.array([-20.0, -1, 1, 20]),)


def simple_numbers() -> Check:
    """At -1, 0, 1 and 3 the values are -1/2, 0, 1/2 and 3/4, the slopes 1/4, 1, 1/4 and 1/16, exactly.

    Source: equations (1) and (2)
    """
    layer = Softsign()
    off = np.abs(layer.forward(np.array([-1.0, 0, 1, 3])) - [-1 / 2, 0, 1 / 2, 3 / 4])
    return exactly(float(np.max(off + np.abs(layer.backward(np.ones(4)) - [1 / 4, 1, 1 / 4, 1 / 16]))), 0)


def slower_than_tanh() -> Check:
    """At x = 20 its slope is more than 1,000,000,000,000 times that of tanh.

    Source: Bergstra, Desjardins, Lamblin, Bengio 2009: quadratic against exponential tails
    """
    soft, tanh = Softsign(), Tanh()
    for layer in (soft, tanh):
        layer.forward(np.array([20.0]))
    slope = float(tanh.backward(np.ones(1))[0])
    return at_least(float(soft.backward(np.ones(1))[0]) / max(slope, 1e-300), 1e12)


CARD = Card(
    name="Softsign",
    name_ja="Softsign",
    paper="Bergstra, Desjardins, Lamblin, Bengio 2009, Quadratic polynomials learn better image features, report 1337",
    equations=(r"f(x) = \frac{x}{1 + |x|}", r"f'(x) = \frac{1}{(1 + |x|)^2}"),
    summary="Runs from -1 to 1 like tanh, but nears its ends so slowly that gradients survive further out.",
    summary_ja="tanh のように -1 から 1 まで変わるが、両端への近づき方が遅く、遠くでも勾配が残る。",
    topics=("nn.softsign",),
    facts=(simple_numbers, slower_than_tanh),
    twin="torch.nn.functional.softsign",
)
