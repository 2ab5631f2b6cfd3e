r"""LeakyReLU: a ReLU that never quite closes.

    f(x) = x if x > 0, else a x                               (1)
    f'(x) = 1 if x > 0, else a                                (2)

Between a = 0, the ReLU, and a = 1, the identity. With any a > 0 no unit can die: some of the gradient always passes.

Maas, Hannun, Ng 2013.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, exactly


@final
class LeakyReLU:
    """Elementwise, any shape; `slope` is a of (1)."""

    def __init__(self, slope: float = 0.01):
        self.slope = slope

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.active = x > 0
        return np.where(self.active, x, self.slope * x)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return np.where(self.active, grad, self.slope * grad)  # (2), a new array


def example(rng: np.random.Generator) -> tuple[LeakyReLU, tuple[np.ndarray]]:
    """A layer and inputs at least 0.1 from the kink."""
    x = rng.uniform(0.1, 2, (12,))
    return LeakyReLU(), (x * rng.choice([-1, 1], x.shape),)


def from_relu_to_identity() -> Check:
    """a = 0 gives max(0, x) and a = 1 gives x, exactly, values and slopes.

    Source: equations (1) and (2)
    """
    x, ones = np.linspace(-2, 2, 41), np.ones(41)
    closed, open_ = LeakyReLU(0.0), LeakyReLU(1.0)
    off = np.abs(closed.forward(x) - np.maximum(0, x)) + np.abs(open_.forward(x) - x)
    return exactly(float(np.max(off + np.abs(closed.backward(ones) - (x > 0)) + np.abs(open_.backward(ones) - 1))), 0)


def no_gradient_is_lost() -> Check:
    """With a = 0.01 no gradient of 1,000 normal numbers is 0; with a = 0 those of the negative ones are.

    Source: Maas, Hannun, Ng 2013, section 2
    """
    x = np.random.default_rng(0).standard_normal(1000)
    leaky, closed = LeakyReLU(0.01), LeakyReLU(0.0)
    for layer in (leaky, closed):
        layer.forward(x)
    lost = [int(np.sum(layer.backward(np.ones(1000)) == 0)) for layer in (leaky, closed)]
    return exactly(lost[0] + abs(lost[1] - int(np.sum(x < 0))), 0)


CARD = Card(
    name="LeakyReLU",
    name_ja="LeakyReLU",
    paper="Maas, Hannun, Ng 2013, Rectifier nonlinearities improve neural network acoustic models",
    equations=(r"f(x) = x \ \mathrm{if}\ x > 0,\ \mathrm{else}\ a x",
               r"f'(x) = 1 \ \mathrm{if}\ x > 0,\ \mathrm{else}\ a"),
    summary="A ReLU with a small slope on the negative side, so that no unit can die.",
    summary_ja="負の側にも小さな傾きを残した ReLU。そのためユニットが死ぬことはない。",
    topics=("nn.leaky-relu",),
    facts=(from_relu_to_identity, no_gradient_is_lost),
    notes=("The article's backward multiplies inside the gradient it was given; here it makes a new array.",),
    notes_ja=("記事の backward は渡された勾配の配列そのものを書き換える。ここでは新しい配列を作る。",),
    twin="torch.nn.functional.leaky_relu",
)
