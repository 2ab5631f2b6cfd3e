r"""NAdam: Adam that looks ahead, as Nesterov does, with a momentum that grows (Dozat 2016).

    mu_t = b1 (1 - 0.5 0.96^(t psi)),   P_t = mu_1 ... mu_t                                              (1)
    w = w - lr (mu_{t+1} m / (1 - P_{t+1}) + (1 - mu_t) g / (1 - P_t)) / (sqrt(vhat) + eps)              (2)

with m and vhat = v / (1 - b2^t) as in Adam.
"""

from typing import Any, final

import numpy as np
import torch

from shinso.kernels.elementwise import sqrt
from shinso.optim._elementwise import AbstractTwin, Group


@final
class NAdam(AbstractTwin, torch.optim.NAdam):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.NAdam."""

    TWIN = torch.optim.NAdam
    STATE = ("exp_avg", "exp_avg_sq")
    SCALARS = ("step", "mu_product")

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(2), both sides of its fraction times sqrt(1 - b2^t)"""
        m, v = s
        b1, c1, b2, c2, of_m, of_g, eps, shrink = h
        m = b1 * m + c1 * g
        v = b2 * v + c2 * (g * g)
        return shrink * w - (of_m * m + of_g * g) / (sqrt(v) + eps), (m, v)

    def numbers(self, group: Group, step: float, product: float = 1.0) -> tuple[float, ...]:
        (b1, b2), lr = group["betas"], float(group["lr"])
        root, now, after = (1 - b2**step) ** 0.5, _mu(group, step), _mu(group, step + 1)
        of_m, of_g = lr * after / (1 - product * after), lr * (1 - now) / (1 - product)
        shrink = 1 - lr * group["weight_decay"] if group["decoupled_weight_decay"] else 1.0
        return b1, 1 - b1, b2, 1 - b2, of_m * root, of_g * root, group["eps"] * root, shrink

    def turn(self, group: Group) -> tuple[float, float]:
        sign, decay = super().turn(group)
        return sign, 0.0 if group["decoupled_weight_decay"] else decay

    def advance(self, group: Group, scalars: dict[str, np.ndarray]) -> None:
        super().advance(group, scalars)
        scalars["mu_product"] *= _mu(group, float(scalars["step"][0]))


def _mu(group: Group, step: float) -> float:
    """(1)"""
    return group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
