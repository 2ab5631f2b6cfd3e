"""How a window moves over an image: what convolution, im2col and pooling share, by hand and recorded.

Inside, images lie batch-last, (channels, height, width, batch), in a frame: a shift of the window is then a copy of
long runs of memory, and one matrix product serves all images. Outside they are (batch, channels, height, width); what
a layer returns is a view of batch-last memory, so that the next layer has nothing to rearrange.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from shinso.autodiff.byhand.zero_padding import output_size
from shinso.core.errors import UserError

Pair = tuple[int, int]
Place = tuple[slice, ...]

BAND = 1 << 19
"""bytes of `columns` that are made at once: they stay in the cache until they are used"""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A filter's height and width in entries; stride, frame and distance of entries in pixels.

    `across` is (stride, padding) from left to right where they differ from those from top to bottom.
    """

    height: int
    width: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    across: Pair | None = None

    def outputs(self, height: int, width: int) -> Pair:
        """Rows and columns of places that the window has in an image without its frame."""
        down = self.stride, self.padding
        return (output_size(height, self.height, *down, self.dilation),
                output_size(width, self.width, *(self.across or down), self.dilation))

    def places(self, rows: int, columns: int) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
        """For entry (i, j) of the filter: where, in a framed image, it meets pixels as the window moves."""
        for i in range(self.height):
            for j in range(self.width):
                yield i, j, (slice(None), self._run(i, rows, self.stride),
                             self._run(j, columns, self.across[0] if self.across else self.stride))

    def _run(self, entry: int, count: int, stride: int) -> slice:
        first = entry * self.dilation
        return slice(first, first + stride * (count - 1) + 1, stride)


def framed(x: np.ndarray, padding: int | Pair, fill: float = 0.0) -> np.ndarray:
    """(batch, channels, height, width) as contiguous (channels, height + 2P, width + 2P, batch)."""
    turned = x.transpose(1, 2, 3, 0)
    if not padding or padding == (0, 0):
        return np.ascontiguousarray(turned)
    frame = np.full(frame_shape(x.shape, padding), fill, x.dtype)
    unframed(frame, padding)[...] = x
    return frame


def frame_shape(shape: tuple[int, ...], padding: int | Pair) -> tuple[int, int, int, int]:
    """The shape of `framed` images of shape (batch, channels, height, width)."""
    batch, channels, height, width = shape
    down, right = padding if isinstance(padding, tuple) else (padding, padding)
    return channels, height + 2 * down, width + 2 * right, batch


def unframed(frame: np.ndarray, padding: int | Pair) -> np.ndarray:
    """The inverse of `framed`, a view."""
    down, right = padding if isinstance(padding, tuple) else (padding, padding)
    height, width = frame.shape[1:3]
    return frame[:, down : height - down, right : width - right].transpose(3, 0, 1, 2)


def bands(frame: np.ndarray, window: Window, rows: int, cols: int,
          size: int = BAND) -> Iterator[tuple[slice, slice, int]]:
    """A few output rows at a time: the rows of pixels that they meet, their places among all, how many they are.

    The `columns` of a band are at most `size` bytes if that is more than one row. Made anew on the way back, from the
    cache, they cost less than all of them read from memory.
    """
    channels, _, _, batch = frame.shape
    row = channels * window.height * window.width * cols * batch * frame.itemsize
    step = max(1, size // max(1, row))
    for first in range(0, rows, step):
        last = min(first + step, rows)
        pixels = slice(first * window.stride, (last - 1) * window.stride + (window.height - 1) * window.dilation + 1)
        yield pixels, slice(first * cols * batch, last * cols * batch), last - first


def columns(frame: np.ndarray, window: Window, rows: int, cols: int) -> np.ndarray:
    """What every entry of the filter meets: (channels, filter height, filter width, rows, columns, batch)."""
    sides = window.dilation * (window.height - 1) + 1, window.dilation * (window.width - 1) + 1
    every = sliding_window_view(frame, sides, axis=(1, 2))  # a view: (channels, height, width, batch, *sides)
    down, right = window.stride, window.across[0] if window.across else window.stride
    met = every[:, : rows * down : down, : cols * right : right, :, :: window.dilation, :: window.dilation]
    return np.ascontiguousarray(met.transpose(0, 4, 5, 1, 2, 3))


def summed(met: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """The adjoint of `columns`: every value is added to the pixel it came from, in a frame around `size` pixels."""
    channels, _, _, _, _, batch = met.shape
    frame = np.zeros((channels, *(length + 2 * window.padding for length in size), batch), met.dtype)
    add(frame, met, window)
    return frame


def add(frame: np.ndarray, met: np.ndarray, window: Window) -> None:
    """As `summed`, into a frame that is there."""
    for i, j, place in window.places(*met.shape[3:5]):
        frame[place] += met[:, i, j]


def firsts(x: Any, y: Any, places: Iterable[Place]) -> Iterator[tuple[Place, np.ndarray]]:
    """For each place of a window, in reading order: it, and where its pixel is the first that equals the maximum y."""
    free: Any = True
    for place in places:
        first = np.equal(x[place], y)
        first &= free
        free = np.logical_xor(free, first)
        yield place, first


def images(where: str, x: np.ndarray, channels: int) -> None:
    """Refuses what is not (batch, `channels`, height, width)."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise UserError(where, f"it wants images of shape (batch, {channels}, height, width), not {x.shape}",
                        "give such an array")
