"""Pictures of Langevin dynamics: variances over the step, a double well, times to leave it."""

import numpy as np

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, panel, quiet
from shinso.core.figure import pixels, sheet
from shinso.learn.sweep import Columns


def variances(rows: Columns, rates: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """Measured variances beside (2), (rates, 2): without batches, with them."""
    figure = sheet(800, 420)
    axes = figure.subplots()
    axes.plot(rates, curves[:, 1], color=ORANGE, linewidth=1.6, label="SGLD (2)")
    axes.plot(rates, curves[:, 0], color=RED, linewidth=1.6, label="GLD (2)")
    axes.plot(rows["rate"], rows["batch_measured"], "^", color=GREEN, markersize=5, label="SGLD, measured / 測定")
    axes.plot(rows["rate"], rows["measured"], "o", color=BLUE, markersize=4.5, label="GLD, measured / 測定")
    axes.axhline(rows["gibbs"][0], color=GREY, linestyle="--", label="Gibbs, exp(-βF)")
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_yticks([0.125, 0.25, 0.5, 1, 2, 4], ["1/8", "1/4", "1/2", "1", "2", "4"])
    panel(axes, "variance on the parabola / 放物線の上での分散", "step a / 刻み", "", "upper left")
    return pixels(figure)


def wells(found: np.ndarray, one: np.ndarray, law: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Samples beside (grid, density, F), and one walk (steps,) between the two wells."""
    x, density, height = law
    figure = sheet(1000, 400)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    left.hist(found, bins=80, range=(x[0], x[-1]), density=True, color=BLUE, alpha=0.4, label="walks / 歩み")
    left.plot(x, density, color=RED, linewidth=1.8, label="exp(-βF)")
    low = height < 1.6
    scaled = (height - height.min()) / (1.6 - height.min()) * 0.9 * density.max()
    left.plot(x[low], scaled[low], "--", color=GREY, label="F")
    left.set_yticks([])
    left.set_ylim(0, 1.35 * density.max())
    panel(left, "time spent at each place / 各点で過ごす時間", "w", "", "upper right")
    right.plot(np.arange(len(one)), one, color=BLUE, linewidth=0.5)
    for bottom in (-1, 1):
        right.axhline(bottom, color=RED, linewidth=1, linestyle=":")
    quiet(right, "one walk / 一つの歩み", "step / 歩数", "w")
    return pixels(figure)


def exit_times(rows: Columns) -> np.ndarray:
    """Logarithms of times to leave a well over beta, beside (3) and a line with the slope of the barrier."""
    figure = sheet(800, 400)
    axes = figure.subplots()
    beta = rows["beta"]
    axes.errorbar(beta, np.exp(rows["measured"]), yerr=2 * np.exp(rows["measured"]) / np.sqrt(rows["arrived"] + 1),
                  fmt="o", color=BLUE, markersize=4.5, elinewidth=1, label="measured / 測定")
    axes.plot(beta, np.exp(rows["predicted"]), color=RED, linewidth=1.6, label="(3)")
    axes.plot(beta, np.exp(beta - beta[-1] + rows["predicted"][-1]), "--", color=GREY,
              label="exp(β ΔF), ΔF = 1")
    axes.set_yscale("log")
    panel(axes, "time to leave a well / 井戸を出るまでの時間", "β", "", "upper left")
    return pixels(figure)
