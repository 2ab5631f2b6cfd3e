"""Drawings of what a classifier takes for what, readable with two classes and with a thousand, in any language."""

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from shinso.core.figure import pixels, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 24
"""classes that are named beside the matrix; with more it has numbers, and the pairs most often confused have names"""
NAME, TITLE, PAIRS = 18, 14, 16
"""columns of a name beside the matrix and above a picture (an ideograph has two), and how many pairs are listed"""


def fitted(name: str, columns: int) -> str:
    """`name`, or its beginning and an ellipsis where it takes more than `columns`."""
    sizes = [2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in name]
    if sum(sizes) <= columns:
        return name
    while sum(sizes) > columns - 1:
        sizes.pop()
    return name[: len(sizes)] + "…"


def draw_confusion(counts: Tensor, classes: Sequence[str]) -> np.ndarray:
    """Rows are the true classes, dark where many of a class are: uint8 (height, width, 3); `counts` is square."""
    return _named(counts, classes) if len(classes) <= FEW else _numbered(counts, classes)


def most_confused(counts: Tensor) -> list[tuple[int, int, int]]:
    """(true class, answer, how often) of the wrong answers, the most frequent first."""
    wrong = counts - counts.diagonal().diag()
    order = wrong.flatten().argsort(descending=True, stable=True).tolist()
    found = [(*divmod(place, len(counts)), int(wrong.flatten()[place])) for place in order[:PAIRS]]
    return [pair for pair in found if pair[2]]


def draw_mistakes(inputs: Tensor, targets: Sequence[str], answers: Sequence[str]) -> np.ndarray:
    """Pictures uint8 (n, channels, height, width), each under its class and below that what it was taken for."""
    columns = min(8, len(targets))
    rows = -(-len(targets) // columns)
    figure = sheet(max(125 * columns, 150), 174 * rows)
    for place, (image, target, answer) in enumerate(zip(inputs, targets, answers, strict=True)):
        axes = figure.add_subplot(rows, columns, place + 1)
        shown = image.permute(1, 2, 0).numpy()
        axes.imshow(shown.squeeze(), cmap="gray_r" if shown.shape[2] == 1 else None, vmin=0, vmax=255)
        axes.set_title(f"{fitted(target, TITLE)}\n→ {fitted(answer, TITLE - 2)}", fontsize=8)
        axes.axis("off")
    return pixels(figure)


def _named(counts: Tensor, classes: Sequence[str]) -> np.ndarray:
    names = [fitted(name, NAME) for name in classes]
    longest = max(len(name.encode("utf-8", "replace")) for name in names)
    side = max(420, 110 + min(150, 7 * longest) + 40 * len(classes))
    axes = sheet(side, side).add_subplot()
    shares = _matrix(axes, counts)
    axes.set_xticks(range(len(classes)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axes.set_yticks(range(len(classes)), names)
    for row, column in counts.nonzero().tolist():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(int(counts[row, column])), ha="center", va="center", color=colour, fontsize=8)
    return pixels(axes.figure)  # pyright: ignore[reportArgumentType] - it is no subfigure


def _numbered(counts: Tensor, classes: Sequence[str]) -> np.ndarray:
    left, right = sheet(1200, 640).subplots(1, 2, width_ratios=(10, 6))
    _matrix(left, counts)
    every = 10 if len(classes) <= 150 else 100
    for ticks in (left.set_xticks, left.set_yticks):
        ticks(range(0, len(classes), every))
    pairs = most_confused(counts)
    rows = range(len(pairs))
    sizes = counts.sum(1)
    right.barh(rows, [share for *_, share in pairs], color="tab:blue", height=0.6)
    right.set_yticks(rows, [f"{fitted(classes[a], NAME)} ({a})\n→ {fitted(classes[b], NAME - 2)} ({b})"
                            for a, b, _ in pairs], fontsize=8)
    for row, (a, _, count) in enumerate(pairs):
        right.text(count, row, f" {count} / {int(sizes[a])}", va="center", fontsize=8)
    right.set_xlim(0, 1.25 * max((count for *_, count in pairs), default=1))
    right.set_ylim(PAIRS - 0.5, -0.5)
    right.set_xlabel("most often confused / 最も多い取り違え")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.spines[["top", "right"]].set_visible(False)
    return pixels(left.figure)


def _matrix(axes: "Axes", counts: Tensor) -> Tensor:
    """The shares of every true class as blues; returns them."""
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy() ** (0.5 if len(counts) > FEW else 1.0), cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted / 予測")
    axes.set_ylabel("true / 正解")
    return shares
