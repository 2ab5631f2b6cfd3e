r"""The 1x1 convolution: a small affine map over the channels, the same at every pixel.

    y[n, f, p, q] = b[f] + sum over c of w[f, c] x[n, c, p, q]                                     (1)
    dW = sum over pixels of dy x^T,     db = sum over pixels of dy,     dx = W^T dy                (2)

It sees no neighbours at all; it mixes channels, and with fewer filters than channels it makes the following layers
cheaper. The surprise: a fully connected layer on 1x1 maps is the same thing, so a classifier's last layer, used as a
1x1 convolution, answers at every pixel of a larger image. Two of them without a bend in between collapse to one.

Lin, Chen, Yan 2013 (Network in Network); Szegedy et al. 2014 (to save work); Long et al. 2015 (as a score map).
"""

from typing import final

import numpy as np

from shinso.autodiff._windows import framed, images
from shinso.autodiff.byhand.convolution import Convolution
from shinso.core.card import Card, Check, at_most, exactly


@final
class PointwiseConvolution:
    """(batch, channels, height, width) -> (batch, filters, height, width); weight (filters, channels), bias."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        self.params = {"weight": weight, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        weight = self.params["weight"]
        images("PointwiseConvolution", x, weight.shape[1])
        turned = framed(x, 0)
        self.pixels, self.rest = turned.reshape(len(turned), -1), turned.shape[1:]
        y = weight @ self.pixels
        y += self.params["bias"][:, None]  # (1)
        return y.reshape(len(weight), *self.rest).transpose(3, 0, 1, 2)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        weight = self.params["weight"]
        rows = framed(grad, 0).reshape(len(weight), -1)
        self.grads = {"weight": rows @ self.pixels.T, "bias": rows.sum(1)}
        return (weight.T @ rows).reshape(-1, *self.rest).transpose(3, 0, 1, 2)  # (2)


def example(rng: np.random.Generator) -> tuple[PointwiseConvolution, tuple[np.ndarray, ...]]:
    """From three channels to two."""
    return PointwiseConvolution(rng.normal(size=(2, 3)), rng.normal(size=2)), (rng.normal(size=(4, 3, 3, 5)),)


def it_is_an_affine_map_at_each_pixel() -> Check:
    """At each pixel by itself W x + b gives the same numbers, to 1e-14.

    Source: equation (1)
    """
    layer, (x,) = example(np.random.default_rng(0))
    y = layer.forward(x)
    weight, bias = layer.params["weight"], layer.params["bias"]
    return at_most(float(max(abs(y[n, :, p, q] - (weight @ x[n, :, p, q] + bias)).max()
                             for n, p, q in np.ndindex(4, 3, 5))), 1e-14)


def it_is_a_convolution_by_one_pixel() -> Check:
    """The convolution layer with 1x1 filters gives the same, to 1e-14.

    Source: the definition
    """
    layer, (x,) = example(np.random.default_rng(0))
    other = Convolution(layer.params["weight"][:, :, None, None], layer.params["bias"])
    return at_most(float(abs(layer.forward(x) - other.forward(x)).max()), 1e-14)


def two_collapse_to_one() -> Check:
    """Two in a row equal one with the product of their weights, to 1e-13.

    Source: an affine map of an affine map is affine
    """
    draw = np.random.default_rng(0)
    one, (x,) = example(draw)
    two = PointwiseConvolution(draw.normal(size=(4, 2)), draw.normal(size=4))
    W, b = two.params["weight"], two.params["bias"]
    both = PointwiseConvolution(W @ one.params["weight"], W @ one.params["bias"] + b)
    return at_most(float(abs(two.forward(one.forward(x)) - both.forward(x)).max()), 1e-13)


def channels_shrink_not_space() -> Check:
    """A layer from 3 to 2 channels makes of 4 images of 3x5 pixels 4 images of 3x5 pixels with 2 channels.

    Source: Szegedy et al. 2014: dimension reduction
    """
    layer, (x,) = example(np.random.default_rng(0))
    return exactly(sum(a == b for a, b in zip(layer.forward(x).shape, (4, 2, 3, 5), strict=True)), 4)


CARD = Card(
    name="1x1 convolution",
    name_ja="1x1 畳み込み",
    paper="Lin, Chen, Yan 2013, Network In Network, arXiv:1312.4400",
    equations=(
        r"y_{nfpq} = b_f + \sum_c w_{fc}\, x_{ncpq}",
        r"dW = \sum_{n,p,q} dy\,x^T,\quad db = \sum_{n,p,q} dy,\quad dx = W^T dy",
    ),
    summary="A small affine map over the channels, the same at every pixel: it mixes channels and sees no neighbours.",
    summary_ja="どの画素でも同じ、チャネル方向の小さなアフィン変換。チャネルを混ぜ、隣の画素は見ない。",
    topics=("nn.conv1x1", "vision.part.conv-1x1"),
    facts=(it_is_an_affine_map_at_each_pixel, it_is_a_convolution_by_one_pixel, two_collapse_to_one,
           channels_shrink_not_space),
    notes=("The dimension that it reduces is that of the channels, not of space.",
           "Two in a row without a bend in between are one: what makes them more is the nonlinearity."),
    notes_ja=("減るのはチャネルの次元であり、空間の次元ではない。",
              "間に非線形な関数がなければ、二つ続けても一つと同じである。"),
)
