"""What every method asks of its options, in torch's words."""

from typing import Any

from torch import Tensor


def check_rate(lr: Any) -> None:
    """A learning rate is a number from 0, or a tensor of one entry."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= lr:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_penalties(l1: float, l2: float) -> None:
    """Penalties are not negative."""
    for name, value in (("l1", l1), ("l2", l2)):
        if not 0.0 <= value:
            raise ValueError(f"Invalid {name} value: {value}")
