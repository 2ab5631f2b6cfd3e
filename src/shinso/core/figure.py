"""Drawings as arrays: matplotlib's objects without its global state, so that a program can draw anywhere.

matplotlib is imported when the first figure is asked for, never before.
"""

import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sheet(width: int, height: int) -> "Figure":
    """An empty white figure of width x height pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    _with_japanese()
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def pixels(figure: "Figure") -> np.ndarray:
    """What the figure shows, as uint8 (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a class may be named by an emoji
        canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)[:, :, :3].copy()


@cache
def _with_japanese() -> None:
    """Lets matplotlib fall back to a font with Japanese letters, for class names and captions."""
    import matplotlib
    from matplotlib import font_manager

    package = find_spec("matplotlib_fontja")
    if package is not None and package.submodule_search_locations:
        font_manager.fontManager.addfont(Path(package.submodule_search_locations[0]) / "fonts" / "ipaexg.ttf")
        matplotlib.rcParams["font.family"] = ["sans-serif", "IPAexGothic"]
