"""`curves.png`: the curves of a run as one picture, for a slide or a paper."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shinso.report.series import Panel, panels, smooth

COLOURS = {"train": "#2563eb", "validation": "#ea580c", "test": "#16a34a"}
MOST_PANELS = 6
INK, RULE = "#1f2937", "#e5e7eb"


def draw_curves(rows: Iterable[Mapping[str, Any]], title: str, path: Path) -> None:
    """Writes the picture, 150 dots per inch; a run without numbers gets axes that say so."""
    import matplotlib

    with matplotlib.rc_context({"font.family": ["DejaVu Sans"]}):  # whatever fonts a program's pictures asked for
        _draw_all(rows, title, path)


def _draw_all(rows: Iterable[Mapping[str, Any]], title: str, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = panels(rows)[:MOST_PANELS]
    across = min(len(shown), 2) or 1
    down = -(-len(shown) // across) or 1
    figure = Figure(figsize=(5.4 * across, 3.3 * down + 0.4), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(_plain(title), fontsize=13, fontweight="bold", color=INK, x=0.02, ha="left")
    for place, panel in enumerate(shown, 1):
        _draw(figure.add_subplot(down, across, place), panel)
    if not shown:
        figure.add_subplot().text(0.5, 0.5, "no numbers", ha="center")
    figure.savefig(path, format="png")


def _draw(axes: Any, panel: Panel) -> None:
    for curve in panel.curves:
        colour = COLOURS[curve.split]
        smoothed = smooth(curve.values)
        if smoothed != list(curve.values):
            axes.plot(curve.steps, curve.values, color=colour, alpha=0.2, linewidth=0.7)
        marker = "o" if curve.split != "train" and len(curve.steps) <= 60 else ""
        axes.plot(curve.steps, smoothed, color=colour, linewidth=1.7, marker=marker, markersize=3.5, label=curve.split)
    if panel.log:
        axes.set_yscale("log")
    axes.set_title(_plain(panel.name.replace("_", " ")), fontsize=11, color=INK, loc="left")
    first, last = panel.steps
    room = max(1, last - first) * 0.04
    axes.set_xlim(first - room, last + room)
    axes.set_xlabel("step", fontsize=9, color="#6b7280")
    axes.grid(True, which="major", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors="#6b7280", labelsize=8, length=0, which="both")
    for side in axes.spines.values():
        side.set_visible(False)
    if len(panel.curves) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def _plain(text: str) -> str:
    """matplotlib reads $...$ as mathematics; a user's name is none."""
    return text.replace("$", r"\$")
