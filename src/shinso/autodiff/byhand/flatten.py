r"""Flattening: all entries of an example in one row, so that an affine map can take them.

    y_{n, i} = x_{n, c, h, w},   i = (c H + h) W + w          (1)
    dL/dx_{n, c, h, w} = dL/dy_{n, i}                         (2)

The order is that of memory (C order): the last axis runs fastest. Nothing is computed; backward is the inverse
permutation. The surprise: the length fixes the image size. A network that flattens 64 maps of 12x12 takes pictures of
28x28 and no others, although every layer before it would take any size.

LeCun et al. 1989 (feature maps laid out before the last layers).
"""

from math import prod
from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.card import Card, Check, exactly


@final
class Flatten:
    """(n, ...) -> (n, product of the rest); a single axis becomes (n, 1). The output is a view of the input."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.shape = x.shape
        return x.reshape(len(x), prod(x.shape[1:]))  # (1)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        fits("flatten", "the gradient", grad.shape, (self.shape[0], prod(self.shape[1:])))
        return grad.reshape(self.shape).copy()  # (2)


def example(rng: np.random.Generator) -> tuple[Flatten, tuple[np.ndarray]]:
    """Two examples of three maps of 4x5."""
    return Flatten(), (rng.normal(size=(2, 3, 4, 5)),)


def the_order_is_that_of_memory() -> Check:
    """All 120 entries of a 2x3x4x5 array stand at (c H + h) W + w.

    Source: equation (1)
    """
    layer, (x,) = example(np.random.default_rng(0))
    y = layer.forward(x)
    return exactly(float(sum(y[n, (c * 4 + h) * 5 + w] == x[n, c, h, w] for n, c, h, w in np.ndindex(x.shape))), 120)


def backward_undoes_it() -> Check:
    """backward(forward(x)) is x, bit for bit, in 120 entries.

    Source: equation (2), the inverse permutation
    """
    layer, (x,) = example(np.random.default_rng(0))
    return exactly(float((layer.backward(layer.forward(x)) == x).sum()), 120)


def a_fixed_length_fixes_the_size() -> Check:
    """28 to 26 to 24 to 12 gives the 9216 = 12*12*64 of the notebook; a picture of 32x32 would give 12544.

    Source: two 3x3 convolutions without padding and a 2x2 pooling, counted
    """
    def length(side: int) -> int:
        side = (side - 2 - 2) // 2
        return Flatten().forward(np.empty((1, 64, side, side))).shape[1]

    return exactly(length(28) if length(32) == 12544 else 0, 9216)


CARD = Card(
    name="Flattening",
    name_ja="一次元化 (Flatten)",
    paper=("LeCun et al. 1989, Backpropagation applied to handwritten zip code recognition, "
           "doi:10.1162/neco.1989.1.4.541"),
    equations=(
        r"y_{n,i} = x_{n,c,h,w},\quad i = (cH + h)W + w",
        r"\frac{\partial L}{\partial x_{n,c,h,w}} = \frac{\partial L}{\partial y_{n,i}}",
    ),
    summary="All entries of an example in one row, in the order of memory; the gradient goes the same way back.",
    summary_ja="一つの事例の全成分を、メモリの順に一列に並べる。勾配は同じ道を戻る。",
    topics=("nn.flatten",),
    facts=(the_order_is_that_of_memory, backward_undoes_it, a_fixed_length_fixes_the_size),
    notes=("The notebook writes 12*12*64 into its network, which holds for pictures of 28x28 without padding "
           "only; here the length is counted.",),
    notes_ja=("ノートブックのネットワークには 12*12*64 と書かれており、パディングなしの28x28画像でしか成り立たな"
              "い。ここでは長さを数える。",),
)
