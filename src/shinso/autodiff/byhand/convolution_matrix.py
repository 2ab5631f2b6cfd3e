r"""A convolution written as the matrix it is: a layer whose weights are shared and whose links are local.

Flatten the image to a vector x; then every output is a row of a large matrix M,

    M[(f, p, q), (c, S p + D i - P, S q + D j - P)] = w[f, c, i, j]   in the filter's group, else 0  (1)
    y = M x + b,      dx = M^T dy                                                                  (2)
    dw[f, c, i, j] = sum of dM over all entries that hold w[f, c, i, j],      dM = dy x^T           (3)

With one channel and S = 1, M consists of blocks, one per row of the filter, repeated along the diagonals, and each
block repeats one number along each of its own: it is doubly block Toeplitz. The surprise is how little it says: of its
places x pixels entries, only places x filter are not zero, and they hold only as many different numbers as the filter.

LeCun et al. 1989; the course draws it as a network with shared weights and local links.
"""

from typing import final

import numpy as np

from shinso.autodiff._windows import Window
from shinso.autodiff.byhand.convolution import Convolution
from shinso.core.card import Card, Check, at_most, exactly


@final
class ConvolutionMatrix:
    """The layer Convolution through (2) for images of one `size`; for looking at, not for speed."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray, size: tuple[int, int], *, stride: int = 1,
                 padding: int = 0, dilation: int = 1, groups: int = 1):
        self.window = Window(height=weight.shape[2], width=weight.shape[3], stride=stride, padding=padding,
                             dilation=dilation)
        self.size, self.places, self.groups = size, self.window.outputs(*size), groups
        self.params = {"weight": weight, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}

    def matrix(self) -> np.ndarray:
        """M: (filters * places, channels * pixels)."""
        weight = self.params["weight"]
        filters, channels = weight.shape[:2]
        M = np.zeros((filters, *self.places, self.groups, channels, *self.size), weight.dtype)
        for i, j, p, q, y, z in self._links():
            M[range(filters), p, q, self._group(), :, y, z] = weight[:, :, i, j]  # (1)
        return M.reshape(filters * self.places[0] * self.places[1], -1)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x.reshape(len(x), -1)
        y = (self.x @ self.matrix().T).reshape(len(x), -1, *self.places)  # (2)
        return y + self.params["bias"][:, None, None]

    def backward(self, grad: np.ndarray) -> np.ndarray:
        weight, flat = self.params["weight"], grad.reshape(len(grad), -1)
        filters, channels = weight.shape[:2]
        dM = (flat.T @ self.x).reshape(filters, *self.places, self.groups, channels, *self.size)
        shared = np.zeros_like(weight)
        for i, j, p, q, y, z in self._links():
            shared[:, :, i, j] += dM[range(filters), p, q, self._group(), :, y, z]  # (3)
        self.grads = {"weight": shared, "bias": grad.sum((0, 2, 3))}
        return (flat @ self.matrix()).reshape(len(grad), -1, *self.size)

    def _group(self) -> list[int]:
        """Of each filter, the slice of channels that it sees."""
        filters = len(self.params["weight"])
        return [f * self.groups // filters for f in range(filters)]

    def _links(self) -> list[tuple[int, ...]]:
        """(i, j, p, q, y, z): filter entry (i, j) joins place (p, q) with pixel (y, z)."""
        S, P, D = self.window.stride, self.window.padding, self.window.dilation
        every = np.ndindex(self.window.height, self.window.width, *self.places)
        links = [(i, j, p, q, S * p + D * i - P, S * q + D * j - P) for i, j, p, q in every]
        return [link for link in links if 0 <= link[4] < self.size[0] and 0 <= link[5] < self.size[1]]


def example(rng: np.random.Generator) -> tuple[ConvolutionMatrix, tuple[np.ndarray, ...]]:
    """Stride 2, a frame of 1, entries 2 apart and two groups on small images."""
    layer = ConvolutionMatrix(rng.normal(size=(4, 2, 3, 2)), rng.normal(size=4), (5, 4), stride=2, padding=1,
                              dilation=2, groups=2)
    return layer, (rng.normal(size=(3, 4, 5, 4)),)


def the_matrix_is_the_layer() -> Check:
    """M x + b and its gradients equal the convolution layer's with stride, frame, distance and groups, to 1e-12.

    Source: equations (1) to (3)
    """
    draw = np.random.default_rng(0)
    layer, (x,) = example(draw)
    other = Convolution(layer.params["weight"], layer.params["bias"], stride=2, padding=1, dilation=2,
                        groups=2)
    y = layer.forward(x)
    grad = draw.normal(size=y.shape)
    off = [abs(y - other.forward(x)).max(), abs(layer.backward(grad) - other.backward(grad)).max()]
    off += [abs(layer.grads[name] - other.grads[name]).max() for name in layer.grads]
    return at_most(float(max(off)), 1e-12)


def _one_channel() -> np.ndarray:
    """M of one 3x3 filter on 6x6 pixels as (p, q, y, z)."""
    weight = np.random.default_rng(0).normal(size=(1, 1, 3, 3))
    return ConvolutionMatrix(weight, np.zeros(1), (6, 6)).matrix().reshape(4, 4, 6, 6)


def only_places_times_filter_are_not_zero() -> Check:
    """A 3x3 filter on 6x6 pixels has 16 places, and M has 144 entries that are not zero, of 576.

    Source: out positions times kernel size
    """
    return exactly(int(np.count_nonzero(_one_channel())), 144)


def nine_numbers_are_shared() -> Check:
    """They hold 9 different numbers, one per entry of the filter.

    Source: weight sharing
    """
    M = _one_channel()
    return exactly(len(np.unique(M[M != 0])), 9)


def it_is_doubly_block_toeplitz() -> Check:
    """Entry (p, q), (y, z) of M depends on y - p and z - q alone: the largest difference along all diagonals is 0.

    Source: equation (1) with S = 1
    """
    M = _one_channel()
    blocks = abs(M[1:, :, 1:, :] - M[:-1, :, :-1, :]).max()
    inside = abs(M[:, 1:, :, 1:] - M[:, :-1, :, :-1]).max()
    return exactly(float(blocks + inside), 0.0)


def shifts_go_through() -> Check:
    """M times an image shifted away from the border is the shifted answer, to 1e-15.

    Source: the same rows stand along the diagonals
    """
    M, image = _one_channel().reshape(16, 36), np.zeros((6, 6))
    image[1:4, 1:4] = np.random.default_rng(1).normal(size=(3, 3))
    answer, moved = ((M @ np.roll(image, by, axis=1).ravel()).reshape(4, 4) for by in (0, 1))
    return at_most(float(abs(moved[:, 1:] - answer[:, :-1]).max()), 1e-15)


CARD = Card(
    name="Convolution as a matrix",
    name_ja="行列としての畳み込み(重み共有・局所接続)",
    paper="LeCun et al. 1989, Backpropagation applied to handwritten zip code recognition, Neural Computation 1",
    equations=(
        r"M_{(f,p,q),(c,\;Sp+Di-P,\;Sq+Dj-P)} = w_{fcij}",
        r"y = Mx + b,\quad dx = M^T dy",
        r"dw_{fcij} = \sum_{M_{kl} \equiv w_{fcij}} (dy\,x^T)_{kl}",
    ),
    summary="A convolution is a large matrix with few numbers in it: shared weights, local links, Toeplitz blocks.",
    summary_ja=(
        "畳み込みは、わずかな数しか持たない大きな行列である。重みは共有され、結合は局所的で、"
        "ブロックはテプリッツ行列になる。"),
    topics=("nn.conv-as-matrix",),
    facts=(the_matrix_is_the_layer, only_places_times_filter_are_not_zero, nine_numbers_are_shared,
           it_is_doubly_block_toeplitz, shifts_go_through),
)
