r"""AdaMax: Adam with the largest gradient of late in the place of their root mean square (Kingma and Ba 2015).

    m = b1 m + (1 - b1) g,   u = max(b2 u, |g| + eps),   w = w - lr / (1 - b1^t) m / u                   (1)
"""

from typing import Any, final

import torch

from shinso.kernels.elementwise import absolute, maximum
from shinso.optim._elementwise import AbstractTwin, Group


@final
class Adamax(AbstractTwin, torch.optim.Adamax):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.Adamax."""

    TWIN = torch.optim.Adamax
    STATE = ("exp_avg", "exp_inf")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1)"""
        m, u = s
        b1, c1, b2, rate, eps = h
        m = b1 * m + c1 * g
        u = maximum(b2 * u, absolute(g) + eps)
        return w - rate * m / u, (m, u)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        b1, b2 = group["betas"]
        return b1, 1 - b1, b2, group["lr"] / (1 - b1**step), group["eps"]
