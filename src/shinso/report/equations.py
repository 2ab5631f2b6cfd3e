"""Equations typeset without a browser's help: LaTeX through matplotlib's mathtext to an SVG path."""

import re
from html import escape

EM = 10.0
"""size in which the outline is made; the page scales it in em"""


def typeset(latex: str) -> str:
    """The equation as an inline SVG in the text's colour; what mathtext does not know is shown as LaTeX source."""
    outline = _outline(latex)
    if outline is None:
        return f"<code>{escape(latex)}</code>"
    path, (left, bottom, right, top) = outline
    width, height = right - left, top - bottom
    box = f"{left:.2f} {-top:.2f} {width:.2f} {height:.2f}"
    size = f"width:{width / EM:.3f}em;height:{height / EM:.3f}em"
    return (f'<svg class="equation" viewBox="{box}" style="{size}" role="img" aria-label="{escape(latex)}">'
            f'<path d="{path}"/></svg>')


def _outline(latex: str) -> tuple[str, tuple[float, float, float, float]] | None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    font = FontProperties(size=EM, math_fontfamily="cm")
    try:
        text = TextPath((0, 0), f"${_known(latex)}$", prop=font)
    except (ValueError, RuntimeError):
        return None
    letters = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}
    pieces = []
    for points, code in text.iter_segments(curves=True, simplify=False):
        numbers = "" if code == Path.CLOSEPOLY else _numbers(points)
        pieces.append(letters[code] + numbers)
    if not pieces:
        return None
    # Around the control points too, which is at most a little more than the exact extent and much sooner found.
    corners = text.vertices[text.codes != Path.CLOSEPOLY]
    (left, bottom), (right, top) = corners.min(0) - 0.3, corners.max(0) + 0.3
    return "".join(pieces), (left, bottom, right, top)


def _known(latex: str) -> str:
    """The same equation in the words that mathtext has: no sizes by hand, \\tfrac12 as \\frac{1}{2}, \\le as \\leq."""
    latex = re.sub(r"\\[bB]igg?[lrm]?(?![a-zA-Z])", "", latex)
    latex = re.sub(r"\\(le|ge|ne)(?![a-zA-Z])", r"\\\1q", latex).replace(r"\neqq", r"\neq")
    return re.sub(r"\\[td]?frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", latex).replace(r"\tfrac", r"\frac")


def _numbers(points) -> str:
    return " ".join(f"{value if i % 2 == 0 else -value:.2f}" for i, value in enumerate(points))
