"""How a window moves over an image: what convolution, im2col and pooling share.

Inside, images lie batch-last, (channels, height, width, batch), in a frame: a shift of the window is then a copy of
long runs of memory, and one matrix product serves all images. Outside they are (batch, channels, height, width); what
a layer returns is a view of batch-last memory, so that the next layer has nothing to rearrange.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shinso.autodiff.byhand.zero_padding import output_size
from shinso.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Window:
    """A filter's height and width in entries; stride, frame and distance of entries in pixels."""

    height: int
    width: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def outputs(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of places that the window has in an image without its frame."""
        return (output_size(height, self.height, self.stride, self.padding, self.dilation),
                output_size(width, self.width, self.stride, self.padding, self.dilation))

    def places(self, rows: int, columns: int) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
        """For entry (i, j) of the filter: where, in a framed image, it meets pixels as the window moves."""
        for i in range(self.height):
            for j in range(self.width):
                yield i, j, (slice(None), self._run(i, rows), self._run(j, columns))

    def _run(self, entry: int, count: int) -> slice:
        first = entry * self.dilation
        return slice(first, first + self.stride * (count - 1) + 1, self.stride)


def framed(x: np.ndarray, padding: int, fill: float = 0.0) -> np.ndarray:
    """(batch, channels, height, width) as contiguous (channels, height + 2P, width + 2P, batch)."""
    turned = x.transpose(1, 2, 3, 0)
    if not padding:
        return np.ascontiguousarray(turned)
    channels, height, width, batch = turned.shape
    frame = np.full((channels, height + 2 * padding, width + 2 * padding, batch), fill, x.dtype)
    frame[:, padding : padding + height, padding : padding + width] = turned
    return frame


def unframed(frame: np.ndarray, padding: int) -> np.ndarray:
    """The inverse of `framed`, a view."""
    height, width = frame.shape[1:3]
    return frame[:, padding : height - padding, padding : width - padding].transpose(3, 0, 1, 2)


def columns(frame: np.ndarray, window: Window, rows: int, cols: int) -> np.ndarray:
    """What every entry of the filter meets: (channels, filter height, filter width, rows, columns, batch)."""
    channels, batch = frame.shape[0], frame.shape[3]
    met = np.empty((channels, window.height, window.width, rows, cols, batch), frame.dtype)
    for i, j, place in window.places(rows, cols):
        met[:, i, j] = frame[place]
    return met


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


def images(where: str, x: np.ndarray, channels: int) -> None:
    """Refuses what is not (batch, `channels`, height, width)."""
    if x.ndim != 4 or x.shape[1] != channels:
        raise UserError(where, f"it wants images of shape (batch, {channels}, height, width), not {x.shape}",
                        "give such an array")
