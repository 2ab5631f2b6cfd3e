"""Pictures of saddles: walks over contours, steps to leave, and a chain of saddles."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from shinso.core.axes import BLUE, GREEN, INK, ORANGE, RED, panel, quiet
from shinso.core.figure import pixels, sheet
from shinso.learn.sweep import Columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"gradient": BLUE, "mirror": GREEN, "proximal": ORANGE, "coordinates": RED}
NAMES = {"gradient": "gradient / 勾配降下", "mirror": "mirror / 鏡像降下", "proximal": "proximal point / 近接点",
         "coordinates": "coordinate / 座標降下"}


class Ground(Protocol):
    """What contours are drawn of."""

    def height(self, w: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Drawn:
    """Walks (steps + 1, ..., 2) on two grounds, lines (2 ends, 2), and (predicted, plain, pushed) steps (3, d)."""

    saddle: Ground
    turned: Ground
    ring: np.ndarray
    line: np.ndarray
    four: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]
    chain: np.ndarray


def contours(axes: "Axes", ground: Ground, wide: float = 1.9, tall: float = 1.9) -> None:
    """f in grey-blue bands with thin lines between them."""
    grid = np.stack(np.meshgrid(np.linspace(-wide, wide, 240), np.linspace(-tall, tall, 240)), -1)
    level = ground.height(grid)
    bounds = np.unique(np.quantile(level, np.linspace(0, 1, 16)))
    axes.contourf(grid[..., 0], grid[..., 1], level, levels=bounds, cmap="Blues_r", alpha=0.55)
    axes.contour(grid[..., 0], grid[..., 1], level, levels=bounds, colors="white", linewidths=0.6)
    axes.set(xlim=(-wide, wide), ylim=(-tall, tall))


def pictures(rows: Columns, drawn: Drawn) -> dict[str, np.ndarray]:
    """The walks, the steps by start, and the chain."""
    return {"saddle_paths": _paths(drawn), "escape_time": _times(rows, drawn), "saddle_chain": _chain(drawn)}


def _paths(drawn: Drawn) -> np.ndarray:
    figure = sheet(1000, 480)
    left, right = figure.subplots(1, 2)
    contours(left, drawn.saddle)
    for walk in np.moveaxis(drawn.ring, 1, 0):
        left.plot(*walk.T, "-", color=INK, linewidth=0.9, alpha=0.75)
        left.plot(*walk[0], "o", color=INK, markersize=3)
    left.plot(*drawn.line.T, "--", color=RED, linewidth=1.8)
    left.text(1.85, -0.2, "y = 0: the saddle / 鞍点へ", color=RED, fontsize=10, ha="right")
    left.plot(0, 0, "X", color=RED, markersize=9)
    least = drawn.ring[-1]
    left.plot(*least.T, "*", color=ORANGE, markersize=13)
    quiet(left, "gradient descent / 勾配降下", "x", "y")
    contours(right, drawn.turned)
    for name, walk in drawn.four.items():
        right.plot(*walk.T, "-o", color=COLOURS[name], markersize=3, linewidth=1.1, label=NAMES[name])
    right.plot(0, 0, "X", color=RED, markersize=9)
    quiet(right, "four methods, axes turned / 四つの方法 (軸を回転)", "", "")
    right.legend(loc="lower right", fontsize=9, framealpha=0.9)
    return pixels(figure)


def _times(columns: Columns, drawn: Drawn) -> np.ndarray:
    figure = sheet(800, 400)
    axes = figure.subplots()
    for name, ends in drawn.curves.items():
        axes.plot(*ends.T, color=COLOURS[name], linewidth=1.5, label=f"(3), {NAMES[name]}")
    for name, marker in (("gradient", "o"), ("mirror", "+"), ("coordinates", "x"), ("proximal", "o")):
        found = columns["measured" if name == "gradient" else f"steps_{name}"]
        axes.plot(columns["start"], found, marker, color=COLOURS[name], linestyle="none",
                  markersize=4.5 if marker == "o" else 7, label=NAMES[name])
    axes.set_xscale("log")
    axes.invert_xaxis()
    panel(axes, "steps to leave the saddle / 鞍点を離れるまでの歩数", "distance from the line, y0 / 直線からの距離", "",
          "upper left")
    return pixels(figure)


def _chain(drawn: Drawn) -> np.ndarray:
    figure = sheet(800, 400)
    axes = figure.subplots()
    saddles = np.arange(1, drawn.chain.shape[1] + 1)
    known, plain, pushed = drawn.chain
    axes.bar(saddles - 0.19, plain, 0.36, color=BLUE, label="gradient descent / 勾配降下")
    axes.bar(saddles + 0.19, pushed, 0.36, color=GREEN, label="with pushes / 摂動つき")
    axes.plot(saddles, known, "o--", color=RED, linewidth=1.3, markersize=5, label="predicted / 予測 (4)")
    axes.set_yscale("log")
    axes.set_xticks(saddles)
    panel(axes, "steps at each saddle of a chain / 鎖の各鞍点での歩数", "saddle / 鞍点", "", "upper left")
    axes.set_ylim(1, None)
    return pixels(figure)
