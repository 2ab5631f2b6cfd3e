r"""Rprop: only the sign of the gradient counts (Riedmiller and Braun 1993; the variant of Igel and Huesken 2000).

    d = clip(d etaplus if g g' > 0, d etaminus if g g' < 0, else d),   g = 0 if g g' < 0                 (1)
    w = w - sign(g) d,   g' = g                                                                          (2)
"""

from typing import Any, final

import torch

from shinso.kernels.elementwise import maximum, minimum, sign, where
from shinso.optim._elementwise import AbstractTwin, Group


@final
class Rprop(AbstractTwin, torch.optim.Rprop):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.Rprop; for gradients of the whole data, not of batches."""

    TWIN = torch.optim.Rprop
    STATE = ("prev", "step_size")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1) and (2)"""
        before, size = s
        shrink, grow, least, most, zero = h
        agreement = g * before
        size = where(agreement > zero, size * grow, where(agreement < zero, size * shrink, size))
        size = minimum(maximum(size, least), most)
        g = where(agreement < zero, zero, g)  # (1)
        return w - sign(g) * size, (g, size)  # (2)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return *group["etas"], *group["step_sizes"], 0.0

    def initial(self, group: Group) -> tuple[float, ...]:
        return 0.0, float(group["lr"])
