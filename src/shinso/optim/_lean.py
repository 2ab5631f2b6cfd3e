"""What torch's optimisers do around a step, without its compiler.

torch.optim imports torch.compile's machinery (about 1.5 s) to tell it to keep out of four methods, and looks through
every tensor's device and type at every step. Here the first is left out while nobody compiles, and the second is looked
up once a step.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class AbstractLean(torch.optim.Optimizer):
    """To be named before torch's own class: `class Adam(AbstractLean, torch.optim.Adam)`."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        with _left_alone("add_param_group"):
            super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        with _left_alone("state_dict"):
            return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a state in any memory format: the fused calls read memory in the weight's own order, unasked."""
        with _left_alone("load_state_dict"):
            super().load_state_dict(state_dict)
        for weight, kept in self.state.items():
            for name, value in kept.items():
                if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                    kept[name] = torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)

    def zero_grad(  # pyright: ignore[reportIncompatibleMethodOverride] - a flag by position says nothing
            self, *, set_to_none: bool = True) -> None:
        """Forgets the gradients; with set_to_none=False fills them with zeros instead."""
        for group in self.param_groups:
            for weight in group["params"]:
                if set_to_none:
                    weight.grad = None
                elif weight.grad is not None:
                    weight.grad.detach_().zero_()


class AbstractStep(AbstractLean, ABC):
    """To be named before torch.optim.Optimizer by methods that ask the closure once, and then have their gradients."""

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - torch's has overloads
            self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every weight that has a gradient; returns what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._update()
        return loss

    @abstractmethod
    def _update(self) -> None:
        """The method's own part of a step, without a tape."""


def inherited_step(kind: type[torch.optim.Optimizer]) -> Callable[..., Any]:
    """torch's own step of this kind, without the hooks that torch wraps around it and around ours as well."""
    step = kind.step
    return step.__wrapped__ if getattr(step, "hooked", False) else step  # pyright: ignore[reportFunctionMemberAccess]


def moving(groups: list[dict[str, Any]]) -> list[list[Tensor]] | None:
    """The weights of each group that have a gradient, or None where a plain fused call will not do.

    It will for groups made with fused=True whose rate is a number, and dense float32 weights in the CPU's memory.
    """
    found = []
    for group in groups:
        if not group["fused"] or group["differentiable"] or isinstance(group["lr"], Tensor):
            return None
        weights = [weight for weight in group["params"] if weight.grad is not None]
        for weight in weights:
            grad = weight.grad
            if not (weight.is_cpu and weight.dtype == grad.dtype == torch.float32 and grad.layout == torch.strided):
                return None
        found.append(weights)
    return found


@contextmanager
def _left_alone(method: str) -> Iterator[None]:
    """Inside, torch finds that the compiler was told already. Nothing is changed once the compiler is loaded."""
    inner = getattr(getattr(torch.optim.Optimizer, method), "__wrapped__", None)
    if inner is None or "torch._dynamo" in sys.modules or hasattr(inner, _TOLD):
        yield
        return
    setattr(inner, _TOLD, inner)
    try:
        yield
    finally:
        delattr(inner, _TOLD)


_TOLD = "__dynamo_disable"
