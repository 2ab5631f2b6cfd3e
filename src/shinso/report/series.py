"""Curves from the rows of a run: one panel per figure, its training and validation values together."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SPLITS = ("validation", "test")
FIRST = ("loss", "accuracy", "return_mean")
LOG_FROM = 30.0
"""falling positive curves whose largest value is this many times the smallest are drawn on a logarithmic axis"""


@dataclass(frozen=True)
class Curve:
    """Finite values of one figure on one split, by step."""

    split: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """Everything that is drawn in one pair of axes."""

    name: str
    curves: tuple[Curve, ...]
    log: bool
    steps: tuple[int, int]
    """first and last of the run, so that all panels have one axis of steps"""


def split_name(key: str) -> tuple[str, str]:
    """`validation_loss` is ("loss", "validation"); `loss` is ("loss", "train")."""
    for split in SPLITS:
        if key.startswith(f"{split}_"):
            return key[len(split) + 1 :], split
    return key, "train"


def panels(rows: Iterable[Mapping[str, Any]]) -> list[Panel]:
    """A panel for each figure of the rows: the best known first, then by name."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in rows:
        for key, value in row.items():
            if key != "step" and isinstance(value, (int, float)) and math.isfinite(value):
                name, split = split_name(key)
                found.setdefault(name, {}).setdefault(split, []).append((row["step"], float(value)))
    steps = [step for splits in found.values() for points in splits.values() for step, _ in points]
    order = sorted(found, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [_panel(name, found[name], (min(steps), max(steps))) for name in order]


def smooth(values: Sequence[float], pieces: int = 30) -> list[float]:
    """A centred moving mean over a window of 1/`pieces` of the curve; short curves stay as they are."""
    reach = len(values) // (2 * pieces)
    if reach < 1:
        return list(values)
    width = 2 * reach + 1
    padded = [0.0] * reach + list(values)
    padded += [0.0] * (reach + -(len(padded) + reach) % width)  # whole blocks, counted from either end
    # A window is the end of one block and the beginning of the next. Nothing is subtracted, so that a curve which falls
    # by many powers of ten keeps its small values, and a positive one stays positive.
    begun, ended = _within_blocks(padded, width), _within_blocks(padded[::-1], width)[::-1]
    sums = [begun[i + width - 1] + (ended[i] if i % width else 0.0) for i in range(len(values))]
    return [total / (min(len(values), i + reach + 1) - max(0, i - reach)) for i, total in enumerate(sums)]


def _within_blocks(values: Sequence[float], width: int) -> list[float]:
    """Running sums that begin anew every `width` values."""
    sums: list[float] = []
    for i, value in enumerate(values):
        sums.append(value if i % width == 0 else sums[-1] + value)
    return sums


def _panel(name: str, splits: Mapping[str, list[tuple[int, float]]], steps: tuple[int, int]) -> Panel:
    curves = []
    for split in ("train", *SPLITS):
        points = splits.get(split, [])
        if points:
            curves.append(Curve(split, tuple(s for s, _ in points), tuple(v for _, v in points)))
    values = [value for curve in curves for value in curve.values]
    wide = min(values) > 0 and max(values) > LOG_FROM * min(values)
    return Panel(name, tuple(curves), wide and curves[0].values[-1] < curves[0].values[0], steps)
