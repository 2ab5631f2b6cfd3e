r"""tanh: the sigmoid stretched to run from -1 to 1.

    f(x) = tanh(x) = (exp(2x) - 1) / (exp(2x) + 1)            (1)
    f'(x) = 1 - f(x)^2                                        (2)

The derivative again needs the output alone. Unlike the sigmoid's it reaches 1, at 0, so small signals pass unchanged.
The fraction in (1) is for reading: computed as it stands it is inf / inf from x = 355 on.

LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp (why a symmetric unit is better than the sigmoid).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand.sigmoid import Sigmoid
from shinso.core.card import Card, Check, about, at_most, exactly


@final
class Tanh:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.y = np.tanh(x)  # (1)
        return self.y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * (1 - self.y * self.y)  # (2)


def example(rng: np.random.Generator) -> tuple[Tanh, tuple[np.ndarray]]:
    """A layer and inputs that reach into both ends."""
    return Tanh(), (rng.uniform(-3, 3, (3, 7)),)


def a_stretched_sigmoid() -> Check:
    """tanh(x) = 2 sigmoid(2x) - 1 to 1e-15.

    Source: equation (1)
    """
    x = np.linspace(-20, 20, 1001)
    return at_most(float(np.abs(Tanh().forward(x) - (2 * Sigmoid().forward(2 * x) - 1)).max()), 1e-15)


def slope_one_in_the_middle() -> Check:
    """The slope is exactly 1 at 0 and nowhere larger.

    Source: equation (2) with f(0) = 0
    """
    layer = Tanh()
    layer.forward(np.linspace(-5, 5, 1001))
    slope = layer.backward(np.ones(1001))
    return exactly(float(abs(slope[500] - 1) + abs(slope.max() - 1)), 0)


def the_articles_layer_fails_backwards() -> Check:
    """A forward that stores `y` beside a backward that reads `out`, as the article has it, raises TypeError.

    Source: 001, class Tanh
    """
    class Article:
        out = None

        def forward(self, x: float) -> float:
            self.y = np.tanh(x)
            return self.y

        def backward(self, grad: float) -> float:
            return grad * (1 - self.out**2)  # pyright: ignore[reportOperatorIssue]

    layer = Article()
    layer.forward(0.5)
    try:
        layer.backward(1.0)
    except TypeError:
        return exactly(1, 1)
    return exactly(0, 1)


def the_fraction_is_not_a_program() -> Check:
    """(exp(2x) - 1) / (exp(2x) + 1) is not a number at x = 400, where tanh is 1.

    Source: exp(800) is larger than every float64
    """
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.exp(np.array([800.0]))
        fraction = (power - 1) / (power + 1)
    return about(float(np.isnan(fraction[0])) + float(Tanh().forward(np.array([400.0]))[0]), 2, 0)


CARD = Card(
    name="tanh",
    name_ja="tanh関数(双曲線正接関数)",
    paper="LeCun, Bottou, Orr, Mueller 1998, Efficient BackProp",
    equations=(r"f(x) = \tanh(x) = \frac{e^{2x} - 1}{e^{2x} + 1}", r"f'(x) = 1 - f(x)^2"),
    summary="The sigmoid stretched to run from -1 to 1, with slope 1 in the middle.",
    summary_ja="シグモイドを -1 から 1 に引き伸ばした関数。中央の傾きは 1 である。",
    topics=("nn.tanh",),
    facts=(a_stretched_sigmoid, slope_one_in_the_middle, the_articles_layer_fails_backwards,
           the_fraction_is_not_a_program),
    notes=("The article's forward stores self.y and its backward reads self.out, which is still None: TypeError.",
           "Computed as the fraction (exp(2x) - 1) / (exp(2x) + 1) it is nan for large x."),
    notes_ja=("記事の forward は self.y に保存し、backward は None のままの self.out を読むため TypeError になる。",
              "分数 (exp(2x) - 1) / (exp(2x) + 1) のまま計算すると、大きな x で nan になる。"),
    twin="torch.tanh",
)
