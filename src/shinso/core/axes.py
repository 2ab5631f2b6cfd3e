"""Axes that keep quiet - no frame, a faint grid, the title on the left - and the colours of all pictures."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED, GREEN, ORANGE, GREY = "#2563eb", "#dc2626", "#16a34a", "#ea580c", "#6b7280"
INK = "#0f172a"
SHADES = ("#0f172a", "#1d4ed8", "#0891b2", "#65a30d", "#d97706")
"""for families of lines, dark to bright"""


def quiet(axes: "Axes", title: str, across: str = "", up: str = "") -> "Axes":
    """The same axes without what distracts, with a title and names for what is drawn across and up."""
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(across, fontsize=10, color=GREY)
    axes.set_ylabel(up, fontsize=10, color=GREY)
    axes.grid(True, color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, length=0, which="both")
    for side in axes.spines.values():
        side.set_visible(False)
    return axes


def bare(axes: "Axes", image: Any, title: str = "", colours: str = "gray") -> "Axes":
    """An image without axes, as it is: no smoothing between its pixels."""
    axes.imshow(image, cmap=colours, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()
    return axes


def panel(axes: "Axes", title: str, across: str = "", up: str = "", legend: str = "") -> "Axes":
    """Quiet axes with a legend without a frame at the place `legend`, if one is named."""
    quiet(axes, title, across, up)
    if legend:
        axes.legend(frameon=False, fontsize=9, loc=legend)  # pyright: ignore[reportArgumentType]
    return axes
