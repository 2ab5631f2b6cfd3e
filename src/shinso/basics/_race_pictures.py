"""A race in pictures: all paths on the map of heights, heights by step, the standings, and the animation."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from shinso.basics._race_problems import Problem, Window
from shinso.basics._race_runner import Runner
from shinso.core.axes import quiet
from shinso.core.figure import pixels, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from PIL.Image import Image

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#111111", "#882255", "#808000", "#4B3FA7")
"""told apart by everybody (Okabe and Ito 2008, and three dark ones)"""
MARKS = "os^DvPX*ph"
MOST = len(COLOURS)
"""runners with a colour of their own; the rest is grey"""
DOTS = 40
"""so many first steps are dots on a path"""
FLOOR = 1e-12
"""heights below are drawn there"""
FRAMES, PAUSE, LAST = 72, 70, 2500
"""of the animation: their number, milliseconds of each, milliseconds of the last one"""


@dataclass(frozen=True)
class Scene:
    """The plane that is drawn: the weights themselves, or two principal directions of all paths."""

    window: Window
    middle: np.ndarray
    """(d,)"""
    directions: np.ndarray
    """(2, d), orthonormal"""
    share: float
    """how much of the paths' variance lies in the plane; 1 for two weights"""

    def seen(self, weights: np.ndarray) -> np.ndarray:
        """Weights (n, d) -> places (n, 2)."""
        return (weights - self.middle) @ self.directions.T

    def grid(self, problem: Problem, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(count,), (count,), heights (count, count), rows from the bottom."""
        left, right, bottom, top = self.window
        x, y = np.linspace(left, right, count), np.linspace(bottom, top, count)
        places = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
        weights = torch.from_numpy(places @ self.directions + self.middle)
        heights = torch.cat([problem.height(part) for part in weights.split(512)])
        return x, y, heights.numpy().reshape(count, count)


def scene(problem: Problem, runners: Sequence[Runner]) -> Scene:
    """The plane of a race so far."""
    d = len(problem.start)
    if problem.window is not None:
        left, right, bottom, top = problem.window
        x, y = runners[0].path[0]
        dx, dy = 0.06 * (right - left), 0.06 * (top - bottom)
        window = (min(left, x - dx), max(right, x + dx), min(bottom, y - dy), max(top, y + dy))
        return Scene(window, np.zeros(d), np.eye(2), 1.0)
    inside = [r for r in runners if r.thrown < 0] or list(runners)
    points = np.concatenate([np.array(r.path) for r in inside])
    middle = points.mean(0)
    _, sizes, directions = np.linalg.svd(points - middle, full_matrices=False)
    # A direction and its opposite are both principal: the larger entry is made positive, so that pictures agree.
    signs = [math.copysign(1.0, v[np.abs(v).argmax()]) for v in directions[:2]]
    directions = directions[:2] * np.array(signs)[:, None]
    flat = (points - middle) @ directions.T
    low, high = flat.min(0), flat.max(0)
    room = 0.12 * (high - low) + 1e-3
    window = (low[0] - room[0], high[0] + room[0], low[1] - room[1], high[1] + room[1])
    return Scene(window, middle, directions, float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-300)))


def ranked(runners: Sequence[Runner]) -> list[Runner]:
    """The soonest first, then the lowest, then those that were thrown out."""
    return sorted(runners, key=lambda r: (r.thrown >= 0, r.arrived if r.arrived >= 0 else math.inf, r.heights[-1]))


def looks(runners: Sequence[Runner]) -> dict[str, tuple[str, str]]:
    """Colour and mark of each label: the same in all pictures; only the best have their own where there are many."""
    chosen = runners if len(runners) <= MOST else ranked(runners)[:MOST]
    found = {r.entry.label: (COLOURS[k], MARKS[k]) for k, r in enumerate(chosen)}
    return {r.entry.label: found.get(r.entry.label, ("#9aa3af", "")) for r in runners}


def above(problem: Problem, heights: Sequence[float]) -> np.ndarray:
    """How far above the minimum, never drawn below FLOOR."""
    return np.maximum(np.array(heights) - problem.lowest, FLOOR)


def paths_picture(problem: Problem, runners: Sequence[Runner]) -> np.ndarray:
    """The map with every path, and the ranking beside it."""
    figure = sheet(1000, 500)
    left, right = figure.subplots(1, 2, width_ratios=(1.75, 1))
    plane, style = scene(problem, runners), looks(runners)
    _map(left, problem, plane, runners)
    for k, r in enumerate(reversed(ranked(runners))):
        colour, mark = style[r.entry.label]
        # Who comes later lies below and is broader, so that nobody hides a path that is the same.
        broad = 1.6 + 1.8 * (1 - (k + 1) / len(runners)) if mark else 0.8
        (line,) = left.plot(*plane.seen(np.array(r.path)).T, color=colour, linewidth=broad, zorder=4 if mark else 3,
                            alpha=1.0 if mark else 0.45)
        if mark:
            _cased(line)
            left.plot(*plane.seen(np.array(r.path[:DOTS])).T, ".", color=colour, markersize=broad + 3.5, zorder=4.5)
            left.plot(*plane.seen(r.path[-1][None]).T, mark, color=colour, markeredgecolor="white", markersize=9,
                      zorder=7)
    _ranking(right, runners, style)
    return pixels(figure)


def _cased(line: "Line2D") -> None:
    """A white rim, so that a line is seen on any ground and where lines cross."""
    from matplotlib import patheffects

    line.set_path_effects([patheffects.Stroke(linewidth=line.get_linewidth() + 1.6, foreground="white", alpha=0.8),
                           patheffects.Normal()])


def _map(axes: "Axes", problem: Problem, plane: Scene, runners: Sequence[Runner]) -> None:
    """Heights in bands of about equal area, the start, the minima and the marked saddles."""
    from matplotlib.colors import LinearSegmentedColormap

    x, y, heights = plane.grid(problem, 161 if problem.window else 81)
    shares = np.concatenate([[0, 0.004, 0.012, 0.03], np.linspace(0.06, 1, 15)])
    levels = np.unique(np.quantile(heights, shares))
    if len(levels) > 1:
        levels[0] -= 1e-9 * (1 + abs(levels[0]))
        ground = LinearSegmentedColormap.from_list("ground", ["#ffffff", "#e8eef5", "#c3d0e0", "#93a6be"])
        bands = np.linspace(0, 1, len(levels) - 1)
        axes.contourf(x, y, heights, levels=levels, colors=[ground(share) for share in bands])
        turns = np.diff(np.sign(np.diff(heights, axis=1)), axis=1) != 0
        lines = 0.6 if turns.sum(1).mean() < 5 else 0.2  # where it is wavy, lines would hide the ground
        axes.contour(x, y, heights, levels=levels, colors="white", linewidths=lines, linestyles="solid")
    minima = plane.seen(problem.minima.numpy())
    axes.plot(*minima.T, "+", color="#b91c1c", markersize=15, markeredgewidth=2.4, linestyle="none", zorder=6,
              label="minimum / 最小点")
    axes.plot(*plane.seen(problem.saddles.numpy()).T, "x", color="#7c2d12", markersize=9, markeredgewidth=2,
              linestyle="none", zorder=5, label="saddle / 鞍点")
    axes.plot(*plane.seen(runners[0].path[0][None]).T, "*", color="#facc15", markeredgecolor="black", markersize=17,
              linestyle="none", zorder=8, label="start / 初期点")
    names, title = ("x", "y"), problem.title
    if problem.window is None:
        names = ("1st principal direction / 第一主成分", "2nd / 第二主成分")
        title += f"\nplane with {plane.share:.0%} of the paths' variance / 軌跡の分散の {plane.share:.0%} を含む平面"
    quiet(axes, title, *names).grid(visible=False)
    axes.set(xlim=plane.window[:2], ylim=plane.window[2:])
    shown = [line for line in axes.lines if len(np.atleast_1d(line.get_xdata()))]
    axes.legend(handles=shown, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, frameon=False, fontsize=10,
                handletextpad=0.1)


def _ranking(axes: "Axes", runners: Sequence[Runner], style: dict[str, tuple[str, str]]) -> None:
    """A legend that says who came when."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    shown = ranked(runners)[:MOST]
    goal = f"f - f* ≤ {runners[0].tolerance:g}" if len(runners[0].problem.minima) else f"f ≤ {runners[0].tolerance:g}"
    axes.text(0.0, 0.985, "steps until / ステップ数:", fontsize=11, va="center", color="#374151")
    axes.text(1.0, 0.985, goal, fontsize=12, va="center", ha="right", color="#374151")
    for k, r in enumerate(shown):
        y = 0.905 - 0.083 * k
        colour, mark = style[r.entry.label]
        axes.plot([0.01, 0.08], [y, y], color=colour, linewidth=2.5)
        axes.plot([0.045], [y], mark or ".", color=colour, markeredgecolor="white", markersize=10)
        axes.text(0.12, y, _short(r.entry.label), fontsize=12, va="center")
        axes.text(1.0, y, _told(r), fontsize=12, va="center", ha="right",
                  color="#111827" if r.arrived >= 0 else "#b91c1c" if r.thrown >= 0 else "#6b7280")
    if len(runners) > MOST:
        axes.text(0.12, 0.905 - 0.083 * MOST, f"+ {len(runners) - MOST}", fontsize=12, va="center", color="#6b7280")


def _short(label: str, most: int = 24) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _told(r: Runner) -> str:
    if r.thrown >= 0:
        return "thrown out / 発散"
    return f"{r.arrived:,}" if r.arrived >= 0 else f"> {len(r.path) - 1:,}"


def heights_picture(problem: Problem, runners: Sequence[Runner]) -> np.ndarray:
    """Heights above the minimum, left by step, right by gradients computed."""
    figure = sheet(1000, 440)
    dear = any(r.counts[-1] != len(r.path) - 1 for r in runners if r.thrown < 0)  # a step costs somebody more
    panels = [("steps / ステップ数", False), *([("gradients / 勾配計算の回数", True)] if dear else [])]
    every_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    style = looks(runners)
    for axes, (name, counted) in zip(every_axes, panels, strict=True):
        for r in reversed(ranked(runners)):
            _curve(axes, r, above(problem, r.heights), style[r.entry.label], counted=counted)
        axes.set_yscale("log")
        if counted:
            axes.set_xscale("log")
        axes.axhline(problem_goal(problem, runners), color="#111827", linestyle=":", linewidth=1.3)
        axes.set_ylim(top=_ceiling(problem, runners))
        quiet(axes, "" if counted else _height_name(problem), name)
    handles, labels = every_axes[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False, fontsize=11)
    return pixels(figure)


def _curve(axes: "Axes", r: Runner, high: np.ndarray, look: tuple[str, str], *, counted: bool) -> None:
    """One runner's heights by step, or from the first step on by gradients."""
    across = np.array(r.counts[1:]) if counted else np.arange(len(high))
    (line,) = axes.plot(across, high[-len(across):], color=look[0], linewidth=1.9 if look[1] else 0.8,
                        marker=look[1] or None, markevery=max(1, len(high) // 8), markersize=6,
                        markeredgecolor="white")
    line.set_label(_short(r.entry.label) if look[1] else None)


def _height_name(problem: Problem) -> str:
    return "height above the minimum / 最小値からの高さ" if len(problem.minima) else "loss / 損失"


def _ceiling(problem: Problem, runners: Sequence[Runner]) -> float:
    """Who climbs a thousand times higher than the start leaves the picture."""
    start = above(problem, runners[0].heights[:1])[0]
    return 1.5 * min(1e3 * start, max(above(problem, r.heights).max() for r in runners))


def problem_goal(problem: Problem, runners: Sequence[Runner]) -> float:
    """The height above the minimum at which a race is over."""
    return max(runners[0].tolerance, FLOOR)


def table_picture(problem: Problem, runners: Sequence[Runner]) -> np.ndarray:
    """Who, at which rate, after how many steps and gradients, and how low at the end."""
    order, style = ranked(runners), looks(runners)
    figure = sheet(1000, 96 + 34 * len(order))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(len(order) + 0.4, -1.7))
    columns = (("method\n手法", 0.065, "left"), ("rate\n学習率", 0.43, "right"), ("steps\nステップ数", 0.545, "right"),
               ("gradients\n勾配計算", 0.855, "right"), ("height at the end\n最後の高さ", 1.0, "right"))  # fmt: skip
    for name, x, side in columns:
        axes.text(x, -1.0, name, fontsize=11, ha=side, va="center", color="#4b5563", linespacing=1.25)
    most = max([r.arrived for r in order if r.arrived >= 0] or [1])
    for k, r in enumerate(order):
        _standing(axes, k, r, style[r.entry.label], most, above(problem, r.heights)[-1])
    return pixels(figure)


def _standing(axes: "Axes", k: int, r: Runner, look: tuple[str, str], most: int, low: float) -> None:
    """One row of the table; the bar's length is the number of steps."""
    if k % 2 == 0:
        axes.axhspan(k - 0.5, k + 0.5, color="#f3f4f6", zorder=0)
    axes.plot([0.04], [k], look[1] or ".", color=look[0], markersize=10)
    tuned = "" if math.isnan(r.rate) else f"{r.rate:g}"
    count = f"{r.counts[r.arrived]:,}" if r.arrived >= 0 else f"{r.counts[-1]:,}"
    texts = (f"{k + 1}" if r.arrived >= 0 else "", 0.022, "right"), (r.entry.label, 0.065, "left"), (
        tuned, 0.43, "right"), (_told(r).partition(" / ")[0], 0.545, "right"), (count, 0.855, "right"), (
        "< 1e-12" if low <= FLOOR else f"{low:.2g}", 1.0, "right")  # fmt: skip
    for text, x, side in texts:
        axes.text(x, k, _short(text, 34), fontsize=11.5, ha=side, va="center",
                  color="#111827" if r.arrived >= 0 else "#b91c1c" if r.thrown >= 0 else "#6b7280")
    if r.arrived >= 0:
        axes.barh(k, 0.2 * r.arrived / max(most, 1), left=0.565, height=0.55, color=look[0])


def moments(steps: int) -> list[int]:
    """The steps of the frames: each of the first ones, then further and further apart."""
    if steps <= FRAMES:
        return list(range(steps + 1))
    growth = np.expm1(np.linspace(0, 3, FRAMES)) / math.expm1(3)
    return sorted({*range(8), *np.rint(growth * steps).astype(int).tolist(), steps})


def animation(problem: Problem, runners: Sequence[Runner]) -> bytes:
    """A GIF of the race: the map on the left, heights by step on the right, both growing."""
    figure = sheet(1000, 480)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    plane, style = scene(problem, runners), looks(runners)
    shown = [r for r in reversed(ranked(runners)) if style[r.entry.label][1]]
    _map(left, problem, plane, runners)
    quiet(right, _height_name(problem), "steps / ステップ数").set_yscale("log")
    high = {r.entry.label: above(problem, r.heights) for r in shown}
    everything = np.concatenate([*high.values(), [problem_goal(problem, runners)]])
    last = len(shown[0].path) - 1
    right.set(xlim=(0, last), ylim=(everything.min() / 2, min(everything.max() * 2, _ceiling(problem, runners))))
    right.axhline(problem_goal(problem, runners), color="#111827", linestyle=":", linewidth=1.3)
    counter = left.text(0.02, 0.97, "", transform=left.transAxes, va="top", fontsize=13, animated=True,
                        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none"})
    lines = [_Growing(left, right, r, plane, high[r.entry.label], style[r.entry.label]) for r in shown]
    right.legend(handles=[line.curve for line in reversed(lines)], frameon=False, fontsize=9, loc="upper right",
                 ncols=2)
    return _gif(figure, lines, counter, moments(last))


class _Growing:
    """The four artists of one runner that change from frame to frame."""

    def __init__(self, left: "Axes", right: "Axes", r: Runner, plane: Scene, high: np.ndarray, look: tuple[str, str]):
        self.places, self.high = plane.seen(np.array(r.path)), high
        every: Any = {"color": look[0], "animated": True}
        (self.path,) = left.plot([], [], linewidth=1.9, zorder=4, **every)
        _cased(self.path)
        (self.head,) = left.plot([], [], look[1], markeredgecolor="white", markersize=10, zorder=7, **every)
        (self.curve,) = right.plot([], [], linewidth=1.8, label=_short(r.entry.label, 18), **every)
        (self.tip,) = right.plot([], [], look[1], markeredgecolor="white", markersize=8, **every)

    def draw(self, step: int) -> None:
        """As after `step` steps."""
        self.path.set_data(*self.places[: step + 1].T)
        self.head.set_data(*self.places[step : step + 1].T)
        self.curve.set_data(np.arange(step + 1), self.high[: step + 1])
        self.tip.set_data([step], self.high[step : step + 1])
        for artist in (self.path, self.curve, self.head, self.tip):
            assert artist.axes is not None  # noqa: S101 - for the type checker
            artist.axes.draw_artist(artist)


def _gif(figure: "Figure", lines: Sequence[_Growing], counter: Any, steps: Sequence[int]) -> bytes:
    """The frames over one background, in 256 colours that all of them share."""
    from PIL import Image

    canvas: Any = figure.canvas
    canvas.draw()
    background, frames, palette = canvas.copy_from_bbox(figure.bbox), [], None
    for step in reversed(steps):  # the last frame has all colours: the palette is taken from it
        canvas.restore_region(background)
        for line in lines:
            line.draw(step)
        counter.set_text(f"step {step}")
        figure.draw_artist(counter)
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3].copy())
        palette = palette or _palette(picture)
        frames.append(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    return _saved(frames[::-1])


def _palette(picture: "Image") -> "Image":
    """256 colours: those of the picture, in which every colour that must not be lost gets a patch."""
    from PIL import Image

    sample = picture.copy()
    for k, colour in enumerate((*COLOURS, "#facc15", "#b91c1c", "#000000", "#ffffff")):
        sample.paste(Image.new("RGB", (60, 40), colour), (60 * k, 0))
    found = sample.quantize(256, dither=Image.Dither.NONE)
    colours = np.array(found.getpalette()).reshape(-1, 3)
    colours[colours.min(1) >= 248] = 255  # the paper is white
    found.putpalette(colours.ravel().tolist())
    return found


def _saved(frames: Sequence["Image"]) -> bytes:
    buffer = io.BytesIO()
    pauses = [PAUSE] * (len(frames) - 1) + [LAST]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=pauses, loop=0, disposal=1)
    return buffer.getvalue()
