"""Pictures of an unfolded descent: its steps, its errors, its ways over the contours."""

from collections.abc import Mapping, Sequence

import numpy as np

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.figure import pixels, sheet

COLOURS = (RED, BLUE, GREEN, ORANGE)
MARKERS = ("o", "s", "^", "D")


def steps(learned: np.ndarray, constants: Sequence[float], marks: Mapping[str, float]) -> np.ndarray:
    """The learned step of every iteration among the constants and the lengths that theory names."""
    figure = sheet(800, 380)
    axes = figure.subplots()
    t = np.arange(1, len(learned) + 1)
    for constant, colour in zip(constants, COLOURS[1:], strict=True):
        axes.axhline(constant, color=colour, linewidth=1.2, label=f"b = {constant:.2f}")
    for name, mark in marks.items():
        axes.axhline(mark, color=GREY, linestyle=":", linewidth=1.5)
        axes.annotate(name, (len(learned) + 0.55, mark), color=GREY, fontsize=11, ha="right", va="top")
    axes.vlines(t, 0, learned, color=RED, linewidth=2)
    axes.plot(t, learned, "o", color=RED, markersize=8, label="learned / 学習した歩幅")
    axes.set(xticks=t, xlim=(0.4, len(learned) + 0.6))
    quiet(axes, "step length / 歩幅 b", "iteration t / 反復")
    axes.legend(frameon=False, fontsize=10, loc="upper left", bbox_to_anchor=(1, 1))
    return pixels(figure)


def errors(curves: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Mean squared error after 0 to T iterations, one line for each rule."""
    figure = sheet(800, 420)
    axes = figure.subplots()
    for (name, values), colour, marker in zip(curves.items(), COLOURS, MARKERS, strict=False):
        axes.semilogy(np.maximum(values, 1e-18), color=colour, marker=marker, markersize=5, linewidth=1.8, label=name)
    axes.set(xticks=np.arange(len(next(iter(curves.values())))))
    quiet(axes, "mean squared error / 平均二乗誤差", "iterations / 反復回数").legend(frameon=False)
    return pixels(figure)


def trajectories(side: np.ndarray, level: np.ndarray, paths: Mapping[str, np.ndarray]) -> np.ndarray:
    """The ways (T + 1, starts, 2) of every rule over the contours of one function, a panel each."""
    figure = sheet(1000, 1000)
    for axes, (name, path) in zip(figure.subplots(2, 2, sharex=True, sharey=True).flat, paths.items(), strict=True):
        axes.contourf(side, side, level, levels=18, cmap="Blues", alpha=0.55)
        for k, colour in zip(range(path.shape[1]), (RED, GREEN, ORANGE), strict=False):
            axes.plot(*path[:, k].T, "-", color=colour, linewidth=1.6, marker="o", markersize=3.5)
            axes.plot(*path[0, k], "*", color=colour, markersize=15, markeredgecolor="black", markeredgewidth=0.6)
        axes.plot(0, 0, "+", color="black", markersize=13, markeredgewidth=1.6)
        axes.set(xlim=(side[0], side[-1]), ylim=(side[0], side[-1]), aspect="equal")
        quiet(axes, name, "x1", "x2").grid(visible=False)
    return pixels(figure)
