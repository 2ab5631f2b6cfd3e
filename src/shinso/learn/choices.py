"""Optimiser and schedule by the names that a setup gives them."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import nn

from shinso.core.errors import UserError
from shinso.optim.cosine import cosine
from shinso.optim.named import method
from shinso.optim.one_cycle import one_cycle
from shinso.optim.step_decay import step_decay
from shinso.optim.warm_up import warm_up

SCHEDULES: dict[str, Callable[[float], float] | None] = {
    "constant": None, "step": step_decay, "cosine": cosine, "one_cycle": one_cycle, "warm_up": warm_up(cosine),
}  # fmt: skip
"""factor on the rate as a function of progress 0..1; warm_up is a tenth of the run before a cosine"""

FUSED = ("adam", "sgd")
"""methods of one pass over ready gradients, by torch's fused call; every other one is handed a closure"""


def first_order(name: str) -> Any:
    """The method of shinso.optim's file `name`; imports that file alone.

    UserError for an unknown name, and for methods that need second derivatives, which these systems do not compute.
    """
    kind = method(name)
    if getattr(kind, "curvature", False):
        raise UserError("optimiser", f"{name} needs second derivatives, and here only the first are computed",
                        "choose another such as adam, or use it in a loop with loss.backward(create_graph=True)")
    return kind


def optimiser(name: str, model: nn.Module, lr: float, device: str) -> torch.optim.Optimizer:
    """The first-order method of that name, of which nothing but the rate is chosen; one that takes a model gets it."""
    kind = first_order(name)
    if name in FUSED:
        return kind(model.parameters(), lr=lr, fused=device != "mps")
    offered = {"lr": lr, "model": model}
    try:
        return kind(model.parameters(), **{key: offered[key] for key in offered if key in signature(kind).parameters})
    except ValueError as error:  # too many weights, say
        raise UserError("optimiser", f"{name}: {error}", "choose another such as adam") from None
