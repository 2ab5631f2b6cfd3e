"""Pictures of perturbed descent: steps beside what was foretold, walks that leave a saddle, the energy on the way."""

from dataclasses import dataclass

import numpy as np

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, panel, quiet
from shinso.core.figure import pixels, sheet
from shinso.learn.sweep import Columns
from shinso.theory._saddle_pictures import Ground, contours

COLOURS = {"plain": RED, "pushed": BLUE, "accelerated": GREEN}
NAMES = {"plain": "GD / 勾配降下", "pushed": "perturbed GD / 摂動つき", "accelerated": "perturbed AGD / 摂動つき加速"}


@dataclass(frozen=True)
class Walk:
    """Places (2,), f and kinetic energy before the first and after each step; when it was pushed, when it exploited."""

    places: list[np.ndarray]
    heights: list[float]
    motions: list[float]
    pushes: list[int]
    exploited: list[int]


def steps_drawn(rows: Columns, across: str) -> np.ndarray:
    """Steps to leave over the dimension or the condition number."""
    figure = sheet(800, 420)
    axes = figure.subplots()
    at = rows[across]
    axes.plot(at, rows["predicted"], color=BLUE, linewidth=1.5, label="perturbed GD, (2), (3)")
    axes.plot(at, rows["measured"], "o", color=BLUE, markersize=4.5, label="measured / 測定")
    axes.plot(at, rows["predicted_agd"], color=GREEN, linewidth=1.5, label="perturbed AGD, (2), (3)")
    axes.plot(at, rows["steps_agd"], "^", color=GREEN, markersize=5, label="measured / 測定")
    axes.plot(at, rows["steps_exploiting"], "x", color=ORANGE, markersize=5, label="+ exploitation / 負の曲率も利用")
    axes.set_xscale("log", base=2 if across == "dimension" else 10)
    if across == "condition":
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.75 * max(rows["measured"].max(), rows["predicted"].max()))
    where = "dimension d / 次元" if across == "dimension" else "condition number κ / 条件数"
    panel(axes, "steps to leave the saddle / 鞍点を離れるまでの歩数", where, "", "upper left")
    return pixels(figure)


def leaving(ground: Ground, walks: dict[str, Walk]) -> np.ndarray:
    """Left the walks over the contours, right f by step."""
    figure = sheet(1000, 460)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    contours(left, ground, 1.6, 1.9)
    for name, walk in walks.items():
        left.plot(*np.array(walk.places).T, "-o", color=COLOURS[name], markersize=3, linewidth=1.1)
        right.plot(walk.heights, color=COLOURS[name], linewidth=1.8, label=NAMES[name])
        for t in walk.pushes[:1]:
            right.plot(t, walk.heights[t], "v", color=COLOURS[name], markersize=9)
    left.plot(0, 0, "X", color=RED, markersize=9)
    left.plot([0, 0], [2**0.5, -(2**0.5)], "*", color=ORANGE, markersize=14, linestyle="none")
    quiet(left, "from (1.2, 0) / (1.2, 0) から", "x", "y")
    panel(right, "f by step; v: push / 歩数と f。▼は摂動", "step / 歩数", "", "upper right")
    return pixels(figure)


def energies(walk: Walk) -> np.ndarray:
    """f and f + ||v||^2/(2a) of the accelerated walk."""
    figure = sheet(800, 380)
    axes = figure.subplots()
    heights, energy = np.array(walk.heights), np.array(walk.heights) + np.array(walk.motions)
    axes.fill_between(np.arange(len(heights)), heights, energy, color=GREEN, alpha=0.15)
    axes.plot(heights, color=GREY, linewidth=1.3, label="f")
    axes.plot(energy, color=GREEN, linewidth=1.8, label="f + ||v||² / 2a")
    axes.plot(walk.pushes, energy[walk.pushes], "v", color=BLUE, markersize=8, label="push / 摂動")
    axes.plot(walk.exploited, energy[walk.exploited], ".", color=ORANGE, markersize=7,
              label="exploitation / 負の曲率の利用")
    panel(axes, "energy of the accelerated walk / 加速法のエネルギー", "step / 歩数", "", "upper right")
    return pixels(figure)
