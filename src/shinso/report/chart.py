"""A panel as inline SVG: the colours are the page's, so that it follows light and dark by itself."""

import math
from collections.abc import Sequence

from shinso.report.series import Curve, Panel, smooth

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 30
MOST_POINTS = 500


def chart(panel: Panel) -> str:
    """The SVG element: grid, ticks, a line per curve, and a dot with its value at every validation."""
    first, last = panel.steps[0], max(panel.steps[1], panel.steps[0] + 1)
    low, high = _range(panel)
    x = _scale(first, last, LEFT, WIDTH - RIGHT)
    ends = (math.log10(low), math.log10(high)) if panel.log else (low, high)
    straight = _scale(*ends, HEIGHT - BOTTOM, TOP)

    def y(value: float) -> float:
        return straight(math.log10(value) if panel.log else value)

    ticks = log_ticks(low, high) if panel.log else even_ticks(low, high)
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{label(tick)}</text>')
    for tick in even_ticks(first, last, min(6, last - first)):  # no half steps
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{label(tick)}</text>')
    for curve in panel.curves:
        parts += _drawn(curve, x, y)
    return "\n".join([*parts, "</svg>"])


def even_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside [low, high]."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    gap = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    start = math.ceil(low / gap - 1e-9)
    return [round(k * gap, 12) for k in range(start, math.floor(high / gap + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten inside [low, high]; with fewer than three of them also 2 and 5 times those."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    thinned = range(powers.start, powers.stop, max(1, len(powers) // 6))
    tens = [10.0**k for k in thinned if low <= 10.0**k <= high]
    if len(tens) > 2:
        return tens
    return [m * 10.0**k for k in powers for m in (1, 2, 5) if low <= m * 10.0**k <= high]


def label(value: float) -> str:
    """A tick as text: 10k, 0.25, 1e-05."""
    if (value and abs(value) >= 1e6) or 0 < abs(value) < 1e-4:
        return f"{value:.0e}" if f"{value:.0e}" == f"{value:.1e}".replace(".0", "") else f"{value:.1e}"
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.10g}"


def _range(panel: Panel) -> tuple[float, float]:
    values = [value for curve in panel.curves for value in curve.values]
    low, high = min(values), max(values)
    if panel.log:
        return low / 1.2, high * 1.2
    room = 0.05 * (high - low) or max(abs(high), 1.0) * 0.05
    # An axis that ends exactly at 1 or at 0 reads better where the figure cannot go beyond.
    return (0.0 if 0 <= low < room else low - room), (high if high == 1.0 and low >= 0 else high + room)


def _scale(low: float, high: float, start: float, end: float):
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _drawn(curve: Curve, x, y) -> list[str]:
    smoothed = smooth(curve.values)
    parts = []
    if smoothed != list(curve.values):
        steps, values = _thinned(curve.steps, curve.values)
        parts.append(f'<path class="raw {curve.split}" d="{_path(steps, values, x, y)}"/>')
    stride = max(1, len(smoothed) // MOST_POINTS)
    steps, values = curve.steps[::stride], smoothed[::stride]
    parts.append(f'<path class="line {curve.split}" d="{_path(steps, values, x, y)}"/>')
    if curve.split != "train" and len(curve.steps) <= 80:
        radius = 3 if len(curve.steps) > 20 else 4.5
        for step, value in zip(curve.steps, curve.values, strict=True):
            place, tip = f'cx="{x(step):.1f}" cy="{y(value):.1f}"', f"<title>{step}: {value:.5g}</title>"
            parts.append(f'<circle class="{curve.split}" {place} r="{radius}">{tip}</circle>')
    return parts


def _thinned(steps: Sequence[int], values: Sequence[float]) -> tuple[list[int], list[float]]:
    """At most MOST_POINTS points that keep every spike: the smallest and the largest of each stretch."""
    stride = max(1, 2 * len(values) // MOST_POINTS)
    kept = set()
    for start in range(0, len(values), stride):
        stretch = range(start, min(start + stride, len(values)))
        kept |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
    order = sorted(kept)
    return [steps[i] for i in order], [values[i] for i in order]


def _path(steps: Sequence[int], values: Sequence[float], x, y) -> str:
    return "M" + "L".join(f"{x(s):.1f} {y(v):.1f}" for s, v in zip(steps, values, strict=True))
