r"""RMSProp: a gradient divided by the root mean square of the gradients of late (Tieleman and Hinton 2012).

    h = a h + (1 - a) g g,   d = g / (sqrt(h) + eps),   w = w - lr d                                     (1)
    m = a m + (1 - a) g,   d = g / (sqrt(h - m m) + eps)   with centered                                 (2)
    b = mu b + d,   w = w - lr b   with momentum                                                         (3)
"""

from typing import final

import torch

from shinso.kernels.elementwise import Rule, sqrt
from shinso.optim._elementwise import AbstractTwin, Group


@final
class RMSprop(AbstractTwin, torch.optim.RMSprop):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.RMSprop."""

    TWIN = torch.optim.RMSprop

    def chosen(self, group: Group) -> tuple[Rule, tuple[str, ...]]:
        if group["centered"]:
            if group["momentum"] > 0:
                return _centred_with_momentum, ("square_avg", "grad_avg", "momentum_buffer")
            return _centred, ("square_avg", "grad_avg")
        if group["momentum"] > 0:
            return _with_momentum, ("square_avg", "momentum_buffer")
        return _alone, ("square_avg",)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["lr"], group["alpha"], 1 - group["alpha"], group["eps"], group["momentum"]


def _alone(w, g, s, h):
    """(1)"""
    rate, keep, rest, eps, _ = h
    square = keep * s[0] + rest * (g * g)
    return w - rate * g / (sqrt(square) + eps), (square,)


def _with_momentum(w, g, s, h):
    """(1) and (3)"""
    rate, keep, rest, eps, mu = h
    square = keep * s[0] + rest * (g * g)
    moved = mu * s[1] + g / (sqrt(square) + eps)
    return w - rate * moved, (square, moved)


def _centred(w, g, s, h):
    """(2)"""
    rate, keep, rest, eps, _ = h
    square = keep * s[0] + rest * (g * g)
    mean = keep * s[1] + rest * g
    return w - rate * g / (sqrt(square - mean * mean) + eps), (square, mean)


def _centred_with_momentum(w, g, s, h):
    """(2) and (3)"""
    rate, keep, rest, eps, mu = h
    square = keep * s[0] + rest * (g * g)
    mean = keep * s[1] + rest * g
    moved = mu * s[2] + g / (sqrt(square - mean * mean) + eps)
    return w - rate * moved, (square, mean, moved)
