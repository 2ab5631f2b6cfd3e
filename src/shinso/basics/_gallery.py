"""All activations of the course side by side, each with its derivative."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from shinso.core.axes import BLUE, ORANGE, quiet
from shinso.core.figure import pixels, sheet


class Activation(Protocol):
    """An elementwise layer."""

    def forward(self, x: np.ndarray) -> np.ndarray: ...

    def backward(self, grad: np.ndarray) -> np.ndarray: ...


NAMES = (
    ("step", "Step"), ("sigmoid", "Sigmoid"), ("tanh", "Tanh"), ("relu", "ReLU"), ("leaky_relu", "LeakyReLU"),
    ("prelu", "PReLU"), ("rrelu", "RReLU"), ("elu", "ELU"), ("selu", "SELU"), ("celu", "CELU"), ("gelu", "GELU"),
    ("silu", "SiLU"), ("mish", "Mish"), ("softplus", "Softplus"), ("softsign", "Softsign"),
    ("logsigmoid", "LogSigmoid"), ("hardtanh", "Hardtanh"), ("hardsigmoid", "Hardsigmoid"),
    ("hardswish", "Hardswish"), ("hardshrink", "Hardshrink"), ("softshrink", "Softshrink"),
    ("tanhshrink", "Tanhshrink"), ("threshold", "Threshold"), ("square_activation", "SquareActivation"),
)  # fmt: skip
"""file and class of autodiff/byhand"""
CHOSEN: dict[str, Callable[[], tuple[Any, ...]]] = {
    "rrelu": lambda: (np.random.default_rng(0),), "threshold": lambda: (1.0, -1.0),
}  # fmt: skip
"""arguments of those that cannot do without"""


def gallery() -> np.ndarray:
    """Four in a row, on [-4, 4]: the value in blue, the derivative in orange, broken where they jump."""
    figure = sheet(900, 1150)
    x = np.linspace(-4, 4, 1601)
    for axes, (file, name) in zip(figure.subplots(6, 4).flat, NAMES, strict=True):
        layer = getattr(import_module(f"shinso.autodiff.byhand.{file}"), name)(*CHOSEN.get(file, tuple)())
        layer.training = file == "rrelu"
        value, slope = layer.forward(x), layer.backward(np.ones_like(x))
        thick, thin = (0.7, 0.5) if file == "rrelu" else (1.8, 1.2)
        axes.axhline(0, color="0.7", linewidth=0.8)
        axes.axvline(0, color="0.7", linewidth=0.8)
        axes.plot(x, _broken(slope, file), color=ORANGE, linewidth=thin)
        axes.plot(x, _broken(value, file), color=BLUE, linewidth=thick)
        axes.set(xlim=(-4, 4), ylim=(-2.2, 3.2))
        quiet(axes, name.removesuffix("Activation"))
    lines = [figure.axes[0].plot([], [], color=colour)[0] for colour in (BLUE, ORANGE)]
    figure.legend(lines, ["f(x)", "f'(x)"], loc="outside upper right", ncols=2, frameon=False)
    return pixels(figure)


def _broken(y: np.ndarray, file: str) -> np.ndarray:
    """The curve with a gap at each jump, so that no line is drawn across it."""
    jumps = np.abs(np.diff(y)) > 0.1
    return y if file == "rrelu" else np.where(np.append(jumps, False), np.nan, y)
