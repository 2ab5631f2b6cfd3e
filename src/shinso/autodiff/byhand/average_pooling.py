r"""Average pooling: of each window the mean goes on.

    y[n, c, p, q] = 1/d sum over i, j of x[n, c, S p + i - P, S q + j - P]                         (1)
    d = k^2                                      where the frame's zeros count                     (2)
    d = number of pixels that the window meets   where they do not                                 (3)
    dx = sum over the windows that meet the pixel of dy / d                                        (4)

It is a convolution with the constant kernel 1/k^2, one channel at a time. The surprise: (2) and (3) are both in use,
differ only along the border, and networks trained with one of them lose accuracy under the other.

LeCun et al. 1989, 1998.
"""

from typing import final

import numpy as np

from shinso.autodiff._windows import Window, framed, unframed
from shinso.autodiff.byhand.convolution import Convolution
from shinso.core.card import Card, Check, about, at_most


@final
class AveragePooling:
    """(batch, channels, height, width) -> (batch, channels, rows, columns); `stride` 0 means that of the window."""

    def __init__(self, size: int, stride: int = 0, padding: int = 0, *, count_include_pad: bool = True):
        self.window = Window(height=size, width=size, stride=stride or size, padding=padding)
        self.count_include_pad = count_include_pad
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.size = x.shape[2], x.shape[3]
        self.places = list(self.window.places(*self.window.outputs(*self.size)))
        self.share = self._share(x.dtype)
        frame = framed(x, self.window.padding)
        total = frame[self.places[0][2]].copy()
        for _, _, place in self.places[1:]:
            total += frame[place]
        total *= self.share  # (1)
        return total.transpose(3, 0, 1, 2)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        share = framed(grad, 0) * self.share
        channels, _, _, batch = share.shape
        P = self.window.padding
        dx = np.zeros((channels, self.size[0] + 2 * P, self.size[1] + 2 * P, batch), grad.dtype)
        for _, _, place in self.places:
            dx[place] += share  # (4)
        return unframed(dx, P)

    def _share(self, kind: np.dtype) -> np.ndarray:
        """1/d for every place: (rows, columns, 1)."""
        if self.count_include_pad or not self.window.padding:
            return np.full((1, 1, 1), 1 / (self.window.height * self.window.width), kind)  # (2)
        met = framed(np.ones((1, 1, *self.size), kind), self.window.padding)
        return 1 / np.sum([met[place][0] for _, _, place in self.places], axis=0, dtype=kind)  # (3)


def example(rng: np.random.Generator) -> tuple[AveragePooling, tuple[np.ndarray, ...]]:
    """Overlapping windows in a frame that does not count."""
    return AveragePooling(3, stride=2, padding=1, count_include_pad=False), (rng.normal(size=(2, 2, 5, 6)),)


def it_is_a_constant_convolution() -> Check:
    """The layer equals a convolution by 1/k^2, one channel at a time, with frame and overlap, to 1e-14.

    Source: equations (1) and (2)
    """
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 8))
    constant = Convolution(np.full((3, 1, 3, 3), 1 / 9), stride=2, padding=1, groups=3)
    return at_most(float(abs(AveragePooling(3, 2, 1).forward(x) - constant.forward(x)).max()), 1e-14)


def the_gradient_is_uniform() -> Check:
    """Every pixel of a 3x3 window gets 1/9 of the gradient, to 1e-16.

    Source: equation (4)
    """
    layer = AveragePooling(3)
    y = layer.forward(np.random.default_rng(0).normal(size=(2, 3, 9, 9)))
    return at_most(float(abs(layer.backward(np.ones_like(y)) - 1 / 9).max()), 1e-16)


def the_frame_counts_or_not() -> Check:
    """In the corner of an image of ones, the mean over 3x3 is 4/9 if the frame counts, else 1: 5/9 apart.

    Source: equations (2) and (3)
    """
    ones = np.ones((1, 1, 4, 4))
    corner = [AveragePooling(3, 1, 1, count_include_pad=counts).forward(ones)[0, 0, 0, 0] for counts in (False, True)]
    return about(float(corner[0] - corner[1]), 5 / 9, 1e-15)


def inside_the_two_agree() -> Check:
    """Away from the border (2) and (3) agree to 1e-15.

    Source: a window inside meets k^2 pixels
    """
    x = np.random.default_rng(0).normal(size=(1, 2, 6, 6))
    one, other = (AveragePooling(3, 1, 1, count_include_pad=counts).forward(x) for counts in (False, True))
    return at_most(float(abs(one - other)[:, :, 1:-1, 1:-1].max()), 1e-15)


CARD = Card(
    name="Average pooling",
    name_ja="Averageプーリング",
    paper="LeCun et al. 1989, Backpropagation applied to handwritten zip code recognition, Neural Computation 1",
    equations=(
        r"y_{ncpq} = \frac{1}{d} \sum_{i,j} x_{n,c,\;Sp+i-P,\;Sq+j-P}",
        r"d = k^2",
        r"d_{pq} = \#\{(i,j): (Sp+i-P,\; Sq+j-P) \in x\}",
        r"dx = \sum_{(p,q) \ni x} \frac{dy_{pq}}{d_{pq}}",
    ),
    summary="The mean of each window goes on; it is a convolution with a constant kernel.",
    summary_ja="窓の平均を残す。定数のカーネルによる畳み込みと同じである。",
    topics=("nn.avg-pool", "vision.part.average-pooling"),
    facts=(it_is_a_constant_convolution, the_gradient_is_uniform, the_frame_counts_or_not, inside_the_two_agree),
    notes=("Whether the frame's zeros count in the mean is a convention: torch counts them unless told otherwise, "
           "TensorFlow does not; weights trained with one give other answers with the other. Inception's modules are "
           "such a case: torchvision's v3 counts the frame, timm's v4 does not.",),
    notes_ja=("枠のゼロを平均に数えるかどうかは約束ごとである。torch は指定しなければ数え、TensorFlow は数えない。"
              "一方で学習した重みは、他方では別の答えを出す。Inceptionのモジュールがその例で、"
              "torchvision の v3 は枠を数え、timm の v4 は数えない。",),
)
