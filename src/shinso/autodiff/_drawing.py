"""Boxes and arrows of a computation graph, arranged once, drawn as SVG or on matplotlib's axes.

Colours are those of the role: a given number, a parameter, an operation, the result. Text and lines follow the
reader's light or dark page. All text is set in one fixed-width size, so that boxes can be measured without a browser.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from shinso.autodiff._layout import place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LETTER, LINE, PAD, LAYER_GAP, MARGIN = 7.3, 16.0, 9.0, 46.0, 14.0
COLOURS = {"input": "#8a8f98", "parameter": "#3b7dd8", "operation": "#2f9e6e", "output": "#e07b28"}
Role = Literal["input", "parameter", "operation", "output"]
Direction = Literal["right", "down"]


@dataclass(frozen=True)
class Box:
    """What one node shows."""

    title: str
    lines: tuple[str, ...]
    role: Role
    inputs: tuple[int, ...]
    labels: tuple[str, ...]
    """what stands on the arrow from each input; empty for nothing"""

    @property
    def size(self) -> tuple[float, float]:
        letters = max(len(text) for text in (self.title, *self.lines))
        return max(44.0, letters * LETTER + 2 * PAD), LINE * (1 + len(self.lines)) + 2 * PAD - 4


Point = tuple[float, float]


@dataclass(frozen=True)
class Arrow:
    """Straight and curved pieces from box to box, as points of cubic curves: start, then three for each piece."""

    points: tuple[Point, ...]
    label: str
    at: Point
    """the middle of its last piece, where the label stands"""
    slant: float
    """how far that piece leads aside"""
    ends: tuple[int, int]


@dataclass(frozen=True)
class Picture:
    """The arranged graph; the origin is the upper left corner."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    middles: tuple[Point, ...]
    arrows: tuple[Arrow, ...]
    direction: Direction


def arrange(boxes: Sequence[Box], direction: Direction) -> Picture:
    """Boxes in topological order, layer by layer to the right or downwards."""
    down = direction == "down"
    sizes = [box.size if down else box.size[::-1] for box in boxes]  # (across, along)
    placed = place([across for across, _ in sizes], [box.inputs for box in boxes])
    depth = [max((s[1] for s, n in zip(sizes, placed.layer, strict=True) if n == k), default=0.0)
             for k in range(max(placed.layer, default=-1) + 1)]  # fmt: skip
    labels = [len(text) for box in boxes for text in box.labels]
    gap = LAYER_GAP if down else max(LAYER_GAP, 2 * (max(labels, default=0) * LETTER * 0.84 + 9))
    starts = [MARGIN + sum(depth[:k]) + gap * k for k in range(len(depth))]
    middles = [(MARGIN + x, starts[n] + depth[n] / 2) for x, n in zip(placed.across, placed.layer, strict=True)]
    arrows = []
    for i, box in enumerate(boxes):
        for j in dict.fromkeys(box.inputs):
            said = ", ".join(text for source, text in zip(box.inputs, box.labels, strict=True) if source == j and text)
            stops = [(MARGIN + across, starts[n], depth[n]) for n, across in placed.routes[j, i]]
            arrows.append(_arrow(stops, sizes[j][1], sizes[i][1], said, (j, i)))
    width, height = placed.extent + 2 * MARGIN, (starts[-1] + depth[-1] if depth else 0.0) + MARGIN
    picture = Picture(width, height, tuple(boxes), tuple(middles), tuple(arrows), direction)
    return picture if down else _turned(picture)


def _arrow(stops: list[tuple[float, float, float]], first: float, last: float, label: str,
           ends: tuple[int, int]) -> Arrow:
    """From the edge of one box, straight through the layers it passes, to the edge of the other."""
    points: list[Point] = []
    for k, (x, start, depth) in enumerate(stops):
        top = start + (depth - last) / 2 if k == len(stops) - 1 else start
        if k:
            here, middle = points[-1], (points[-1][1] + start) / 2
            points += [(here[0], middle), (x, middle), (x, start)]
            if top > start:
                points += _straight((x, start), (x, top))
        if k < len(stops) - 1:
            leave = start + (depth + first) / 2 if k == 0 else start + depth
            if not points:
                points.append((x, leave))
            if leave < start + depth or k:
                points += _straight(points[-1], (x, start + depth))
    (x0, start, depth), (x1, then, _) = stops[-2:]  # many arrows may leave a box, but few reach one
    return Arrow(tuple(points), label, ((x0 + x1) / 2, (start + depth + then) / 2), x1 - x0, ends)


def _straight(a: Point, b: Point) -> list[Point]:
    return [((2 * a[0] + b[0]) / 3, (2 * a[1] + b[1]) / 3), ((a[0] + 2 * b[0]) / 3, (a[1] + 2 * b[1]) / 3), b]


def _turned(p: Picture) -> Picture:
    arrows = tuple(Arrow(tuple((y, x) for x, y in a.points), a.label, (a.at[1], a.at[0]), a.slant, a.ends)
                   for a in p.arrows)  # fmt: skip
    return Picture(p.height, p.width, p.boxes, tuple((y, x) for x, y in p.middles), arrows, p.direction)


STYLE = (".cg{color:#1c2128;color-scheme:light dark}@media(prefers-color-scheme:dark){.cg{color:#e6e8eb}}"
         ".cg text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:currentColor;"
         "text-anchor:middle}.cg .cg-title{font-weight:700}.cg .cg-label{font-size:10px;opacity:.8}"
         ".cg .cg-arrow{fill:none;stroke:currentColor;stroke-opacity:.55;stroke-width:1.3}"
         ".cg .cg-head{fill:currentColor;fill-opacity:.55}.cg rect{stroke-width:1.5;fill-opacity:.14}"
         ".cg .cg-here rect{stroke-width:3.5;fill-opacity:.38}")  # fmt: skip


def as_svg(picture: Picture, highlight: int | None, name: str) -> str:
    """A document of its own that can also stand inside a page; `highlight` is the node that a step is at."""
    w, h = picture.width, picture.height
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" class="cg" viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" '
             f'height="{h:.0f}" role="img" aria-label="{escape(name)}"><style>{STYLE}</style>']
    for arrow in picture.arrows:
        (x, y), *others = arrow.points
        curve = " ".join(f"{a:.1f},{b:.1f}" for a, b in others)
        parts.append(f'<path class="cg-arrow" d="M{x:.1f},{y:.1f} C{curve}"/>')
        head = " ".join(f"{a:.1f},{b:.1f}" for a, b in _head(arrow.points[-1], picture.direction))
        parts.append(f'<polygon class="cg-head" points="{head}"/>')
        if arrow.label:
            a, b = _label_at(arrow, picture.direction)
            parts.append(f'<text class="cg-label" x="{a:.1f}" y="{b:.1f}">{escape(arrow.label)}</text>')
    for i, (box, (x, y)) in enumerate(zip(picture.boxes, picture.middles, strict=True)):
        bw, bh = box.size
        here = " cg-here" if i == highlight else ""
        colour = COLOURS[box.role]
        parts.append(f'<g class="cg-node{here}" data-node="{i}"><rect x="{x - bw / 2:.1f}" y="{y - bh / 2:.1f}" '
                     f'width="{bw:.1f}" height="{bh:.1f}" rx="9" fill="{colour}" stroke="{colour}"/>')
        for n, text in enumerate((box.title, *box.lines)):
            kind = ' class="cg-title"' if n == 0 else ""
            parts.append(f'<text{kind} x="{x:.1f}" y="{y - bh / 2 + PAD + 10 + n * LINE:.1f}">{escape(text)}</text>')
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def _head(tip: Point, direction: Direction) -> list[Point]:
    x, y = tip
    return [(x, y), (x - 4, y - 8), (x + 4, y - 8)] if direction == "down" else [(x, y), (x - 8, y - 4), (x - 8, y + 4)]


def _label_at(arrow: Arrow, direction: Direction) -> Point:
    """Beside a vertical arrow, above a horizontal one, on the free side of a slanted one."""
    (x, y), half = arrow.at, len(arrow.label) * LETTER * 0.42 + 6
    if direction == "down":
        return (x + half, y + 3) if abs(arrow.slant) < 6 else (x - half if arrow.slant > 0 else x + half, y + 10)
    return (x, y - 6) if abs(arrow.slant) < 6 else (x + half, y - 4 if arrow.slant > 0 else y + 12)


def draw_on(axes: "Axes", picture: Picture, highlight: int | None = None) -> None:
    """The same picture with matplotlib, in a coordinate system of its own with y downwards."""
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
    from matplotlib.path import Path

    axes.set(xlim=(0, picture.width), ylim=(picture.height, 0), aspect="equal")
    axes.axis("off")
    scale = _points_per_unit(axes, picture)
    for arrow in picture.arrows:
        codes = [Path.MOVETO] + [Path.CURVE4] * (len(arrow.points) - 1)
        axes.add_patch(PathPatch(Path(list(arrow.points), codes), fill=False, edgecolor="0.45", linewidth=1.2 * scale))
        axes.add_patch(Polygon(_head(arrow.points[-1], picture.direction), color="0.45", linewidth=0))
        if arrow.label:
            axes.text(*_label_at(arrow, picture.direction), arrow.label, ha="center", va="baseline", color="0.25",
                      fontsize=9.5 * scale, family="DejaVu Sans Mono")
    for i, (box, (x, y)) in enumerate(zip(picture.boxes, picture.middles, strict=True)):
        (w, h), colour = box.size, COLOURS[box.role]
        corner = (x - w / 2 + 6, y - h / 2 + 6)
        line = (3.5 if i == highlight else 1.5) * scale
        axes.add_patch(FancyBboxPatch(corner, w - 12, h - 12, boxstyle="round,pad=6", edgecolor=colour, linewidth=line,
                                      facecolor=(*_rgb(colour), 0.14)))
        for n, text in enumerate((box.title, *box.lines)):
            axes.text(x, y - h / 2 + PAD + 10 + n * LINE, text, ha="center", va="baseline", fontsize=11.5 * scale,
                      weight="bold" if n == 0 else "normal", family="DejaVu Sans Mono")


def _points_per_unit(axes: "Axes", picture: Picture) -> float:
    """How many typographic points one unit of the picture will take on the axes."""
    box = axes.get_position()
    width, height = axes.figure.figure.get_size_inches()
    return 72 * min(box.width * width / picture.width, box.height * height / picture.height)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return red, green, blue
