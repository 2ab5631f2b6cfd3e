r"""ReLU: what is negative is cut off.

    f(x) = max(0, x)                                          (1)
    f'(x) = 1 if x > 0, else 0                                (2)

Where it is active the gradient passes with factor 1 through any number of layers: the sigmoid's 4^-L is gone. Where it
is not, nothing passes, and a unit that is negative on all data never learns again. At 0, where there is no derivative,
(2) takes 0.

Fukushima 1969; Nair and Hinton 2010.
"""

from typing import final

import numpy as np

from shinso.core.card import Card, Check, at_least, exactly


@final
class ReLU:
    """Elementwise, any shape."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.active = x > 0
        return np.maximum(x, 0)  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        return grad * self.active  # (2), a new array


def example(rng: np.random.Generator) -> tuple[ReLU, tuple[np.ndarray]]:
    """A layer and inputs at least 0.1 from the kink."""
    x = rng.uniform(0.1, 2, (3, 2, 4))
    return ReLU(), (x * rng.choice([-1, 1], x.shape),)


def positively_homogeneous() -> Check:
    """f(8x) = 8 f(x) exactly on 1,000 normal numbers.

    Source: max(0, c x) = c max(0, x) for c > 0; a power of two is multiplied without rounding
    """
    x = np.random.default_rng(0).standard_normal(1000)
    return exactly(float(np.abs(ReLU().forward(8 * x) - 8 * ReLU().forward(x)).max()), 0)


def no_slope_at_the_kink() -> Check:
    """At -1, 0 and 1 the slopes are 0, 0 and 1.

    Source: the convention of this file, equation (2)
    """
    layer = ReLU()
    layer.forward(np.array([-1.0, 0.0, 1.0]))
    return exactly(float(np.abs(layer.backward(np.ones(3)) - [0, 0, 1]).max()), 0)


def writing_into_the_gradient_damages_its_other_reader() -> Check:
    """In y = ReLU(x) + x the article's backward, dout[mask] = 0, spoils more than 400 of 1,000 gradients of x.

    Source: 001, class Relu; both summands are sent the same array
    """
    x, sent = np.random.default_rng(0).standard_normal(1000), np.ones(1000)
    layer = ReLU()
    layer.forward(x)
    right = layer.backward(sent) + sent

    def article(dout: np.ndarray) -> np.ndarray:
        dout[x <= 0] = 0
        return dout

    return at_least(int(np.sum(article(sent) + sent != right)), 400)


CARD = Card(
    name="ReLU",
    name_ja="ReLU(正規化線形関数)",
    paper="Fukushima 1969; Nair and Hinton 2010, Rectified linear units improve restricted Boltzmann machines",
    equations=(r"f(x) = \max(0, x)", r"f'(x) = 1 \ \mathrm{if}\ x > 0,\ \mathrm{else}\ 0"),
    summary="Cuts off what is negative; gradients pass the active units unchanged and the others not at all.",
    summary_ja="負の値を切り捨てる。勾配は活性なユニットをそのまま通り、それ以外はまったく通らない。",
    topics=("nn.relu",),
    facts=(positively_homogeneous, no_slope_at_the_kink, writing_into_the_gradient_damages_its_other_reader),
    notes=("The article's backward writes zeros into the gradient it was given; every other reader of it is damaged.",
           "The slides expand the name as 'Rectifier Linear Unit'; the paper says rectified linear unit."),
    notes_ja=("記事の backward は渡された勾配の配列そのものに 0 を書き込み、それを読む他の層を壊す。",
              "スライドは名前を Rectifier Linear Unit と展開するが、論文では rectified linear unit である。"),
    twin="torch.relu",
)
