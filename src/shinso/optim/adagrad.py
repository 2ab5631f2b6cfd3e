r"""AdaGrad (Duchi, Hazan and Singer 2011).

    h = h + g g,   w = w - lr_t g / (sqrt(h) + eps),   lr_t = lr / (1 + (t - 1) decay)                  (1)
"""

from typing import Any, final

import torch

from shinso.kernels.elementwise import sqrt
from shinso.optim._elementwise import AbstractTwin, Group


@final
class Adagrad(AbstractTwin, torch.optim.Adagrad):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Drop-in for torch.optim.Adagrad."""

    TWIN = torch.optim.Adagrad
    STATE = ("sum",)

    @staticmethod
    def rule(w: Any, g: Any, s: tuple[Any, ...], h: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """(1)"""
        rate, eps = h
        (total,) = s
        total = total + g * g
        return w - rate * g / (sqrt(total) + eps), (total,)

    def numbers(self, group: Group, step: float) -> tuple[float, ...]:
        return group["lr"] / (1 + (step - 1) * group["lr_decay"]), group["eps"]

    def initial(self, group: Group) -> tuple[float, ...]:
        return (group["initial_accumulator_value"],)
