r"""Max pooling: of each window only the largest value goes on.

    y[n, c, p, q] = max over i, j of x[n, c, S p + i - P, S q + j - P]                             (1)
    dx[n, c, k*] += dy[n, c, p, q],   k* = the first place of the window where x = y               (2)

The window slides over every channel by itself; a frame around the image is minus infinity, for zeros would beat
negative pixels. Among equal values the first one in reading order takes the whole gradient. The surprise: nothing is
learned here, and yet a feature may move inside its window without any change of the output - and one pixel further,
across the window's border, the output does change: the invariance is local, and aligned to the stride.

Yamaguchi et al. 1990; Riesenhuber and Poggio 1999; Ranzato et al. 2007.
"""

from collections.abc import Iterator
from typing import final

import numpy as np

from shinso.autodiff._windows import Place, Window, firsts, framed, unframed
from shinso.core.card import Card, Check, about, at_least, exactly


@final
class MaxPooling:
    """(batch, channels, height, width) -> (batch, channels, rows, columns); `stride` 0 means that of the window."""

    def __init__(self, size: int, stride: int = 0, padding: int = 0):
        self.window = Window(height=size, width=size, stride=stride or size, padding=padding)
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.size = x.shape[2], x.shape[3]
        self.x = framed(x, self.window.padding, -np.inf)
        self.rows, self.cols = self.window.outputs(*self.size)
        (_, _, first), *others = self.window.places(self.rows, self.cols)
        self.y = np.maximum(self.x[first], self.x[others[0][2]]) if others else self.x[first].copy()
        for _, _, place in others[1:]:
            np.maximum(self.y, self.x[place], out=self.y)  # (1)
        return self.y.transpose(3, 0, 1, 2)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        grad = framed(grad, 0)
        side = self.window.height
        tiled = self.window.stride == side and self.x.shape[1:3] == (side * self.rows, side * self.cols)
        dx = (np.empty if tiled else np.zeros)(self.x.shape, grad.dtype)  # tiles are all written
        for place, first in self._firsts():
            if self.window.stride >= self.window.height:  # no pixel is in two windows
                np.multiply(grad, first, out=dx[place])
            else:
                dx[place] += grad * first  # (2)
        return unframed(dx, self.window.padding)

    def positions(self) -> np.ndarray:
        """Where the values of the last forward came from: flat indices into height * width, int64, shaped like y."""
        found = np.zeros(self.y.shape, np.int64)
        rows, cols = np.ogrid[: self.rows, : self.cols]
        for k, (_, first) in enumerate(self._firsts()):
            i, j = divmod(k, self.window.width)
            y = self.window.stride * rows + i - self.window.padding
            x = self.window.stride * cols + j - self.window.padding
            found += first * (y * self.size[1] + x)[:, :, None]
        return found.transpose(3, 0, 1, 2)

    def _firsts(self) -> Iterator[tuple[Place, np.ndarray]]:
        """For each place of the window, in reading order: its pixels, and where they are the first of the largest."""
        return firsts(self.x, self.y, (place for _, _, place in self.window.places(self.rows, self.cols)))


def example(rng: np.random.Generator) -> tuple[MaxPooling, tuple[np.ndarray, ...]]:
    """Overlapping windows in a frame; all values are well apart."""
    values = rng.permutation(2 * 2 * 5 * 6) / 10 - 6
    return MaxPooling(3, stride=2, padding=1), (values.reshape(2, 2, 5, 6),)


def it_is_the_maximum_of_each_window() -> Check:
    """The layer equals the maximum over every window, written as a loop over places, for overlapping windows: 0 wrong.

    Source: equation (1)
    """
    layer, (x,) = example(np.random.default_rng(0))
    y = layer.forward(x)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    wrong = sum(int((y[:, :, p, q] != padded[:, :, 2 * p : 2 * p + 3, 2 * q : 2 * q + 3].max((2, 3))).sum())
                for p, q in np.ndindex(y.shape[2:]))
    return exactly(wrong, 0)


def a_shift_inside_the_window_changes_nothing() -> Check:
    """One peak at any of the 4 pixels of a 2x2 window gives the same output: the largest difference is 0.

    Source: equation (1) with size and stride 2
    """
    return exactly(float(max(abs(_peak(2 + i, 4 + j) - _peak(2, 4)).max() for i, j in np.ndindex(2, 2))), 0.0)


def a_shift_across_the_border_changes_the_output() -> Check:
    """One pixel further the same peak appears in another place: the outputs differ by 1.

    Source: the invariance is local
    """
    return exactly(float(abs(_peak(2, 6) - _peak(2, 5)).max()), 1.0)


def a_shift_by_the_stride_shifts_the_output() -> Check:
    """Two pixels further the output is the same, one place further: the largest difference is 0.

    Source: equation (1)
    """
    return exactly(float(abs(_peak(2, 6)[:, 1:] - _peak(2, 4)[:, :-1]).max()), 0.0)


def _peak(y: int, x: int) -> np.ndarray:
    image = np.zeros((1, 1, 8, 8))
    image[0, 0, y, x] = 1
    return MaxPooling(2).forward(image)[0, 0]


def one_pixel_changes_most_of_the_output() -> Check:
    """Of 2x2 windows on noise, a shift by one pixel changes 2 outputs of 3 on average; here between 0.6 and 0.73.

    Source: old and new window share 2 of their 6 pixels, and the largest of the 6 lies among those with chance 1/3
    """
    noise = np.random.default_rng(0).normal(size=(20, 5, 20, 21))
    before, after = MaxPooling(2).forward(noise[..., :-1]), MaxPooling(2).forward(noise[..., 1:])
    return about(float((before != after).mean()), 2 / 3, 0.066)


def zeros_around_would_beat_the_pixels() -> Check:
    """An image of -1 everywhere stays -1 under a frame of minus infinity; under a frame of zeros it would become 0.

    Source: equation (1)
    """
    x = -np.ones((1, 1, 4, 4))
    wrong = MaxPooling(3, stride=2).forward(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))))
    return exactly(float(MaxPooling(3, stride=2, padding=1).forward(x).max() - wrong.max()), -1.0)


def the_first_of_equals_takes_all() -> Check:
    """Of four equal pixels the first one gets the gradient 1 and the other 3 get 0.

    Source: the rule of equation (2)
    """
    layer = MaxPooling(2)
    layer.forward(np.ones((1, 1, 2, 2)))
    return exactly(float(abs(layer.backward(np.ones((1, 1, 1, 1)))[0, 0] - [[1, 0], [0, 0]]).max()), 0.0)


def every_gradient_arrives_once() -> Check:
    """The gradients on the input sum to those on the output (to 1e-12 of them), and no window has more than one.

    Source: equation (2)
    """
    draw = np.random.default_rng(0)
    layer = MaxPooling(2)
    y = layer.forward(draw.normal(size=(4, 3, 8, 8)))
    dx = layer.backward(np.ones_like(y))
    windows = np.count_nonzero(dx.reshape(4, 3, 4, 2, 4, 2), axis=(3, 5))
    return at_least(float((windows == 1).all()) - abs(dx.sum() - y.size), 1 - 1e-12)


CARD = Card(
    name="Max pooling",
    name_ja="Maxプーリング",
    paper="Yamaguchi, Sakamoto, Akabane, Fujimoto 1990; Riesenhuber and Poggio 1999, Nature Neuroscience 2",
    equations=(
        r"y_{ncpq} = \max_{i,j}\; x_{n,c,\;Sp+i-P,\;Sq+j-P}",
        r"dx_{nck^*} \leftarrow dx_{nck^*} + dy_{ncpq}, \quad x_{nck^*} = y_{ncpq}",
    ),
    summary="Only the largest value of each window goes on, so a feature may move a little unnoticed.",
    summary_ja="窓の最大値だけを残す。特徴が窓の中で少し動いても、出力は変わらない。",
    topics=("nn.max-pool", "vision.part.max-pooling"),
    facts=(it_is_the_maximum_of_each_window, a_shift_inside_the_window_changes_nothing,
           a_shift_across_the_border_changes_the_output, a_shift_by_the_stride_shifts_the_output,
           one_pixel_changes_most_of_the_output, zeros_around_would_beat_the_pixels, the_first_of_equals_takes_all,
           every_gradient_arrives_once),
    notes=("The documents call pooling invariant to small shifts: it is so inside a window only. On noise, one pixel "
           "changes two of three outputs.",
           "A frame must be minus infinity; ties go to the first place in reading order, as in torch on the CPU."),
    notes_ja=("資料はプーリングを小さな移動に対して不変というが、成り立つのは窓の中だけである。雑音では、"
              "一画素の移動で出力の三分の二が変わる。",
              "枠の値は負の無限大でなければならない。同じ値が並ぶときは、読む順で最初の場所を選ぶ。CPU 上の torch "
              "と同じである。"),
)
