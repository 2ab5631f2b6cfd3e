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

FUSED = ("adam", "adamw", "sgd")
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


def optimiser(name: str, model: nn.Module, lr: float, device: str, *, momentum: float | None = None,
              weight_decay: float | None = None) -> torch.optim.Optimizer:
    """The first-order method of that name over the trained weights; it gets of the rest what it takes, and the model.

    With a `weight_decay` there are two groups: matrices and kernels decay, vectors do not.
    """
    kind = first_order(name)
    known = signature(kind).parameters
    offered = {"lr": lr, "model": model, "momentum": momentum, "fused": (name in FUSED and device != "mps") or None}
    options = {key: value for key, value in offered.items() if key in known and value is not None}
    weights: list[Any] = [w for w in model.parameters() if w.requires_grad]
    if weight_decay is not None and "weight_decay" in known:
        weights = [{"params": [w for w in weights if w.dim() > 1], "weight_decay": weight_decay},
                   {"params": [w for w in weights if w.dim() <= 1], "weight_decay": 0.0}]
    try:
        return kind(weights, **options)
    except ValueError as error:  # too many weights, say
        raise UserError("optimiser", f"{name}: {error}", "choose another such as adam") from None
