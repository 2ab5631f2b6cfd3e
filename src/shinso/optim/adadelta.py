r"""AdaDelta: steps in the unit of the weights (Zeiler 2012).

    h = rho h + (1 - rho) g g,   d = sqrt(r + eps) / sqrt(h + eps) g                                     (1)
    r = rho r + (1 - rho) d d,   w = w - lr d                                                            (2)
"""

from typing import Any, final

import torch

from shinso.kernels.elementwise import sqrt
from shinso.optim._elementwise import AbstractTwin, Group


@final
class Adadelta(AbstractTwin, torch.optim.Adadelta):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.Adadelta."""

    TWIN = torch.optim.Adadelta
    STATE = ("square_avg", "acc_delta")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2)"""
        square, moved = s
        rho, rest, eps, rate = h
        square = rho * square + rest * (g * g)
        delta = sqrt(moved + eps) / sqrt(square + eps) * g  # (1)
        moved = rho * moved + rest * (delta * delta)
        return w - rate * delta, (square, moved)  # (2)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["rho"], 1 - group["rho"], group["eps"], group["lr"]
