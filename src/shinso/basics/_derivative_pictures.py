"""What `derivatives` shows: the V of the errors, the graph with its numbers, the methods in a table."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from shinso.autodiff import graph as graphs
from shinso.autodiff.compare import Comparison
from shinso.core.figure import pixels, sheet

if TYPE_CHECKING:
    from shinso.basics.derivatives import Derivatives

CURVES = (("forward", "forward / 前進差分", "#3b7dd8"), ("central", "central / 中心差分", "#e07b28"),
          ("richardson", "Richardson", "#8f5fbf"), ("complex", "complex step / 複素ステップ", "#2f9e6e"))  # fmt: skip
JAPANESE = {"forward difference": "前進差分", "central difference": "中心差分", "complex step": "複素ステップ",
            "symbolic": "数式微分", "forward mode": "フォワードモード",
            "reverse mode, scalars": "リバースモード (スカラー)",
            "reverse mode, tensors": "リバースモード (テンソル)"}  # fmt: skip


def error_picture(program: "Derivatives") -> np.ndarray:
    """Error over h on logarithmic axes, with the predicted arms dashed."""
    from shinso.basics.derivatives import METHODS

    figure = sheet(800, 520)
    axes = figure.subplots()
    h, least = program.lengths[: program.done], float(np.finfo(program.kind).eps) / 100  # where an error of 0 is drawn
    for method, label, colour in CURVES:
        errors = program.errors[: program.done, METHODS.index(method)]
        axes.loglog(h, np.maximum(errors, least), color=colour, label=label, marker=".", markersize=4, linewidth=1.4)
    whole = program.lengths
    for (method, power), colour in zip((("forward", 1), ("central", 2)), ("#3b7dd8", "#e07b28"), strict=True):
        factor, rounding = program.predicted[method]
        label = f"predicted / 予測: {'h²' if power == 2 else 'h'}"
        if factor > 0:
            axes.loglog(whole, factor * whole**power, color=colour, linestyle="--", linewidth=1, alpha=0.7, label=label)
        if rounding > 0:
            axes.loglog(whole, rounding / whole, color=colour, linestyle=":", linewidth=1, alpha=0.7)
    axes.axhline(max(program.reverse_error, least), color="0.3", linewidth=1, linestyle="-.",
                 label="reverse mode / リバースモード")
    axes.set(xlabel="h", ylabel="error / 誤差", ylim=(least / 3, 3), title=_short(program.expression.text))
    axes.grid(visible=True, color="0.9")
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    return pixels(figure)


def graph_picture(graph: graphs.Graph) -> np.ndarray:
    """The graph with values, local derivatives on the arrows, and gradients; to the right if it can be read so."""
    known = graphs.gradients(graph)
    ways: list[tuple[float, Literal["right", "down"], float, float]] = []
    for direction in ("right", "down"):
        width, height = graphs.extent(graph, known, direction=direction)
        ways.append((min(1.5, 900 / width, 1800 / height), direction, width, height))
    scale, direction, width, height = ways[0] if ways[0][0] > 0.75 else max(ways, key=lambda way: way[0])
    figure = sheet(max(200, round(width * scale)), max(120, round(height * scale)))
    figure.set_layout_engine("none")
    graphs.draw(figure.add_axes((0.0, 0.0, 1.0, 1.0)), graph, known, direction=direction)
    return pixels(figure)


def table_picture(found: Comparison, most: int = 3) -> np.ndarray:
    """Method, derivatives, error and work; of many variables the first few."""
    names = list(found.at)[:most]
    head = ["method", *(f"d/d{name}" for name in names), "error", "runs", "operations"]
    japanese = ["方法", *("" for _ in names), "誤差", "実行回数", "演算数"]
    rows = [[row.method, *(f"{row.derivatives[name]:.12g}" for name in names), f"{row.error:.1e}",
             str(row.evaluations), str(row.operations)] for row in found.rows]  # fmt: skip
    widths = np.array([300] + [150] * len(names) + [80, 80, 90])
    figure = sheet(int(widths.sum()) + 30, 46 * len(rows) + 66)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, widths.sum() + 30), ylim=(46 * len(rows) + 66, 0))
    axes.axis("off")
    lefts = 15 + np.concatenate([[0], np.cumsum(widths)[:-1]])
    for x, word, said in zip(lefts, head, japanese, strict=True):
        axes.text(x, 24, word, weight="bold", fontsize=11, family="DejaVu Sans")
        axes.text(x, 43, said, color="0.4", fontsize=9)
    for k, row in enumerate(rows):
        y = 78 + 46 * k
        axes.plot([15, widths.sum() + 15], [y - 24, y - 24], color="0.85", linewidth=0.8)
        for x, word in zip(lefts, row, strict=True):
            axes.text(x, y, word, fontsize=11, family=None if x == lefts[0] else "DejaVu Sans Mono")
        axes.text(lefts[0], y + 16, JAPANESE.get(row[0], ""), color="0.4", fontsize=9)
    return pixels(figure)


def _short(text: str) -> str:
    return text if len(text) <= 70 else text[:67] + "..."
