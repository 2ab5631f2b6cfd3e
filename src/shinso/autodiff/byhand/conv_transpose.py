r"""Transposed convolution: every pixel stamps the filter, and the stamps add up to a larger image.

    y = col2im(W^T x) + b,     W of shape C x (F KH KW)                                            (1)
    dx = W col(dy),     dW = x col(dy)^T,     db = sum of dy                                       (2)
    sum conv(u) x = sum u conv_transpose(x)   for all u and x                                      (3)

Forwards it does what the convolution layer with the same filter does backwards, and the other way round; with stride S
the stamps lie S pixels apart, so maps grow S-fold. The surprise is in its other name: a "deconvolution" it is not.
It is the adjoint (3), not the inverse, and convolving and transposing does not give the image back.

Zeiler et al. 2010; Long, Shelhamer, Darrell 2015; Dumoulin and Visin 2016 for the sizes.
"""

from typing import final

import numpy as np

from shinso.autodiff._windows import Window, columns, framed, images, summed, unframed
from shinso.autodiff.byhand.convolution import Convolution
from shinso.autodiff.byhand.zero_padding import transposed_size
from shinso.core.card import Card, Check, at_least, at_most, exactly


@final
class ConvTranspose:
    """(batch, channels, rows, columns) -> (batch, filters, height, width); weight (channels, filters, h, w).

    `extra` rows and columns are added at the far ends, which tells apart the sizes that a stride makes equal.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray, *, stride: int = 1, padding: int = 0, dilation: int = 1,
                 extra: int = 0):
        self.window = Window(height=weight.shape[2], width=weight.shape[3], stride=stride, padding=padding,
                             dilation=dilation)
        self.extra = extra
        self.params = {"weight": weight, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        weight, w = self.params["weight"], self.window
        images("ConvTranspose", x, len(weight))
        turned = framed(x, 0)
        self.rows, self.places = turned.reshape(len(weight), -1), turned.shape[1:]
        size = (transposed_size(x.shape[2], w.height, w.stride, w.padding, w.dilation, self.extra),
                transposed_size(x.shape[3], w.width, w.stride, w.padding, w.dilation, self.extra))
        col = (weight.reshape(len(weight), -1).T @ self.rows).reshape(*weight.shape[1:], *self.places)
        y = unframed(summed(col, w, size), w.padding)  # (1)
        y += self.params["bias"][:, None, None]
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        weight = self.params["weight"]
        col = columns(framed(grad, self.window.padding), self.window, *self.places[:2])
        col = col.reshape(weight[0].size, -1)
        self.grads = {"weight": (self.rows @ col.T).reshape(weight.shape), "bias": grad.sum((0, 2, 3))}
        return (weight.reshape(len(weight), -1) @ col).reshape(-1, *self.places).transpose(3, 0, 1, 2)  # (2)


def example(rng: np.random.Generator) -> tuple[ConvTranspose, tuple[np.ndarray, ...]]:
    """Two channels, three filters of 3x2."""
    return ConvTranspose(rng.normal(size=(2, 3, 3, 2)), rng.normal(size=3)), (rng.normal(size=(2, 2, 3, 4)),)


def _pair() -> tuple[Convolution, ConvTranspose, np.ndarray]:
    """A convolution, its transpose and images."""
    draw = np.random.default_rng(0)
    weight = draw.normal(size=(4, 3, 3, 3))
    transpose = ConvTranspose(weight, np.zeros(3), stride=2, padding=1)
    return Convolution(weight, stride=2, padding=1), transpose, draw.normal(size=(2, 3, 7, 9))


def it_is_the_adjoint() -> Check:
    """|sum conv(u) x - sum u conv_transpose(x)| is at most 1e-12 of either, with stride 2 and the same filter.

    Source: equation (3)
    """
    conv, transpose, u = _pair()
    y = conv.forward(u)
    x = np.random.default_rng(1).normal(size=y.shape)
    one, other = (y * x).sum(), (u * transpose.forward(x)).sum()
    return at_most(float(abs(one - other) / abs(one)), 1e-12)


def it_is_the_convolutions_backward() -> Check:
    """Its forward is the input gradient of the convolution with the same filter, to 1e-13.

    Source: equation (1)
    """
    conv, transpose, u = _pair()
    x = np.random.default_rng(1).normal(size=conv.forward(u).shape)
    return at_most(float(abs(transpose.forward(x) - conv.backward(x)).max()), 1e-13)


def it_is_no_inverse() -> Check:
    """Convolved and transposed, an image is more than half its norm away from itself, whatever number it is scaled by.

    Source: adjoint is not inverse
    """
    conv, transpose, u = _pair()
    back = transpose.forward(conv.forward(u))
    scaled = back * (back * u).sum() / (back * back).sum()
    return at_least(float(np.linalg.norm(u - scaled) / np.linalg.norm(u)), 0.5)


def stride_two_doubles() -> Check:
    """2x2 filters with stride 2 make of 7x5 pixels 14x10, and a filter of ones repeats each pixel 4 times.

    Source: equation (1); the up-convolution of U-Net
    """
    x = np.random.default_rng(0).normal(size=(1, 1, 7, 5))
    y = ConvTranspose(np.ones((1, 1, 2, 2)), np.zeros(1), stride=2).forward(x)
    return exactly(float(abs(y - x.repeat(2, axis=2).repeat(2, axis=3)).max()), 0.0)


CARD = Card(
    name="Transposed convolution",
    name_ja="転置畳み込み(逆畳込み)",
    paper="Zeiler, Krishnan, Taylor, Fergus 2010, Deconvolutional networks; Long et al. 2015, arXiv:1411.4038",
    equations=(
        r"y = \mathrm{col2im}(W^T x) + b",
        r"dx = W\,\mathrm{col}(dy),\quad dW = x\,\mathrm{col}(dy)^T,\quad db = \sum dy",
        r"\langle \mathrm{conv}(u), x \rangle = \langle u, \mathrm{conv}^T(x) \rangle",
    ),
    summary="Every pixel stamps the filter into a larger image: the adjoint of a convolution, used to enlarge maps.",
    summary_ja="画素ごとにフィルタを押し、大きな画像に足し合わせる。畳み込みの随伴であり、特徴マップの拡大に使う。",
    topics=("nn.conv-transpose",),
    facts=(it_is_the_adjoint, it_is_the_convolutions_backward, it_is_no_inverse, stride_two_doubles),
    notes=('The name "deconvolution" promises an inverse; this is the adjoint, and does not give the image back.',),
    notes_ja=("「逆畳込み」という名は逆写像を思わせるが、これは随伴であり、元の画像には戻らない。",),
    twin="torch.nn.functional.conv_transpose2d",
)
