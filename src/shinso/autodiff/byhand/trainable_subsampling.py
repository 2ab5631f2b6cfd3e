r"""Trainable sub-sampling, the pooling of 1998: two learned numbers per map, and a squashing function.

    s = sum of the 2x2 window                                                                      (1)
    a = w_c s + b_c,     y = f(a),     f(a) = A tanh(2 a / 3),     A = 1.7159                      (2)
    da = dy (2/3) (A - y^2 / A),     dw_c = sum da s,     db_c = sum da,     dx = w_c da           (3)

The surprise: how much w decides. Where it is small the layer averages, where it is large f saturates and the window
counts as on or off: a noisy "or" or "and" of four pixels, learned per map. Today's copies put plain pooling here.

LeCun, Bottou, Bengio, Haffner 1998, section II.B.
"""

from typing import final

import numpy as np

from shinso.autodiff._windows import images
from shinso.autodiff.byhand.average_pooling import AveragePooling
from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.errors import UserError

A = 1.7159


@final
class TrainableSubsampling:
    """(batch, maps, height, width), both even, -> half of each; without `squash`, f is the identity."""

    def __init__(self, coefficient: np.ndarray, bias: np.ndarray, *, squash: bool = True):
        self.params = {"coefficient": coefficient, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}
        self.squash = squash

    def forward(self, x: np.ndarray) -> np.ndarray:
        images("TrainableSubsampling", x, len(self.params["bias"]))
        if x.shape[2] % 2 or x.shape[3] % 2:
            raise UserError("TrainableSubsampling", f"images of {x.shape[2]}x{x.shape[3]} do not fall into 2x2 windows",
                            "give an even height and width")
        self.sum = x[:, :, ::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, ::2] + x[:, :, 1::2, 1::2]  # (1)
        a = self.sum * self.params["coefficient"][:, None, None] + self.params["bias"][:, None, None]
        self.y = A * np.tanh(a * (2 / 3)) if self.squash else a  # (2)
        return self.y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        da = grad * ((2 / 3) * (A - self.y * self.y / A)) if self.squash else grad  # (3)
        self.grads = {"coefficient": (da * self.sum).sum((0, 2, 3)), "bias": da.sum((0, 2, 3))}
        return (da * self.params["coefficient"][:, None, None]).repeat(2, axis=2).repeat(2, axis=3)


def example(rng: np.random.Generator) -> tuple[TrainableSubsampling, tuple[np.ndarray, ...]]:
    """Three maps with coefficients of their own."""
    return TrainableSubsampling(rng.normal(size=3), rng.normal(size=3)), (rng.normal(size=(2, 3, 4, 6)),)


def with_a_quarter_it_is_average_pooling() -> Check:
    """With coefficient 1/4, bias 0 and no f it is average pooling, to 1e-15.

    Source: equations (1) and (2)
    """
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 8))
    layer = TrainableSubsampling(np.full(3, 0.25), np.zeros(3), squash=False)
    return at_most(float(abs(layer.forward(x) - AveragePooling(2).forward(x)).max()), 1e-15)


def two_numbers_per_map() -> Check:
    """S2 with its 6 maps has 12 parameters and S4 with its 16 maps has 32: together 44.

    Source: LeCun et al. 1998, section II.B
    """
    layers = [TrainableSubsampling(np.ones(maps), np.zeros(maps)) for maps in (6, 16)]
    return exactly(sum(p.size for layer in layers for p in layer.params.values()), 44)


def a_large_coefficient_is_a_switch() -> Check:
    """With coefficient 100, windows of noise come out as -1.7159 or 1.7159: the mean distance from both is below 0.02.

    Source: LeCun et al. 1998: a noisy OR or AND of the window
    """
    x = np.random.default_rng(0).normal(size=(2, 3, 20, 20))
    y = TrainableSubsampling(np.full(3, 100.0), np.zeros(3)).forward(x)
    return at_most(float((A - abs(y)).mean()), 0.02)


CARD = Card(
    name="Trainable sub-sampling",
    name_ja="学習するサブサンプリング",
    paper="LeCun, Bottou, Bengio, Haffner 1998, Gradient-based learning applied to document recognition, Proc. IEEE 86",
    equations=(
        r"s = \sum_{2 \times 2} x",
        r"y = f(w_c s + b_c), \quad f(a) = 1.7159 \tanh\frac{2a}{3}",
        r"da = dy\,\frac{2}{3}\left(A - \frac{y^2}{A}\right),\quad dw_c = \sum da\,s,\quad db_c = \sum da",
    ),
    summary="The pooling of 1998: the sum of four pixels times a learned number, plus another, squashed.",
    summary_ja="1998年のプーリング。4 画素の和に学習した数を掛け、もう一つを加え、S 字の関数に通す。",
    topics=("vision.part.trainable-subsampling",),
    facts=(with_a_quarter_it_is_average_pooling, two_numbers_per_map, a_large_coefficient_is_a_switch),
    notes=("Most copies of LeNet put plain pooling here; the layer of 1998 has parameters and a squashing function.",),
    notes_ja=("LeNet の多くの再現はここに普通のプーリングを置くが、1998年の層にはパラメータと S 字の関数がある。",),
)
