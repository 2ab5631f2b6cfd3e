"""What a picture would show, without the cost of painting it: nine tenths of a look are matplotlib's.

In a program that is looked at several times, the drawings must be alike, not their paint, which follows from them.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Affine2DBase, BboxBase


@contextmanager
def unpainted() -> Iterator[None]:
    """Inside, the pixels of a figure, in its size, are a digest of everything that stands on it."""
    with patch.multiple(FigureCanvasAgg, draw=lambda canvas: None, buffer_rgba=_noted):
        yield


def digest(figure: Figure) -> bytes:
    """32 bytes that differ as soon as a number, a word or a colour of the drawing does."""
    told = hashlib.sha256()
    for piece in _contents(figure):
        told.update(piece)
    return told.digest()


def _noted(canvas: FigureCanvasAgg) -> np.ndarray:
    width, height = canvas.get_width_height()
    page = np.zeros((height, width, 4), np.uint8)
    page[:8, :4, :] = np.frombuffer(digest(canvas.figure), np.uint8).reshape(8, 4, 1)
    return page


def _contents(artist: Artist) -> Iterator[bytes]:
    """The plain values of an artist, then those of its parts; ticks are left out: they follow from their axis."""
    yield type(artist).__name__.encode()
    for name, value in sorted(vars(artist).items()):
        for piece in _plain(value):
            yield name.encode()
            yield piece
    if isinstance(artist, ScalarMappable):
        yield from _plain([artist.cmap.name, artist.norm.vmin, artist.norm.vmax])
    if isinstance(artist, Axis):
        yield from _plain([artist.get_scale(), *vars(artist.get_major_formatter()).values()])
        yield from _plain(list(vars(artist.get_major_locator()).values()))
        yield from _contents(artist.label)
    else:
        for part in artist.get_children():
            yield from _contents(part)


def _plain(value: object) -> Iterator[bytes]:
    if np.ma.isMaskedArray(value):
        yield from _plain(value.data)
        yield np.ma.getmaskarray(value).tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.shape} {value.dtype}".encode()
        yield repr(value.tolist()).encode() if value.dtype == object else value.tobytes()
    elif isinstance(value, (str, int, float, complex, np.generic)) or value is None:
        yield repr(value).encode()
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _plain(part)
    elif isinstance(value, dict):
        yield from _plain([*value, *value.values()])
    elif isinstance(value, partial):  # a formatter that knows its labels
        yield from _plain(value.args)
    elif isinstance(value, Path):
        yield from _plain(value.vertices)
        yield from _plain(value.codes)
    elif isinstance(value, BboxBase):
        yield from _plain(value.get_points())
    elif isinstance(value, Affine2DBase):
        yield from _plain(value.get_matrix())
