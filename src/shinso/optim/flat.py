"""Weights, gradients and states laid end to end, so that a step over a thousand small tensors is a step over one."""

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor

from shinso.optim._lean import AbstractStep


class AbstractFlat(AbstractStep, torch.optim.Optimizer):
    """What `flatten` changes: who keeps the gradients, and where a state lies. state_dict is as before."""

    flat: bool = False
    """whether the weights lie end to end"""

    _gradients: "list[tuple[list[Tensor], list[Tensor], Tensor]] | None" = None

    def flatten(self) -> Self:
        """Lays weights of a group end to end, and their gradients and states likewise; returns the optimiser itself.

        For many small tensors. `zero_grad()` then fills the gradients with zeros and keeps them, so that a weight
        that took no part in the loss has a gradient of zeros, not none. A gradient that is None or another tensor at a
        step is taken as it is. Weights that are not dense, or tied to others in memory, stay where they are.
        """
        self._gradients, self.flat = [], True
        with torch.no_grad():
            for group in self.param_groups:
                for weights in _alike(group["params"]):
                    _, views = relaid(weights)
                    grads = [w.grad for w in weights]
                    buffer, slots = relaid(views, 0.0)
                    for w, view, grad, slot in zip(weights, views, grads, slots, strict=True):
                        w.data = view
                        if grad is not None:
                            slot.copy_(grad)
                        w.grad = slot
                    self._gradients.append((weights, slots, buffer))
                    self._flatten_states(weights)
        return self

    def _flatten_states(self, weights: list[Tensor]) -> None:
        """States of the weights' own shape; one that not all of them have stays where it is."""
        kept = [self.state[w] for w in weights if w in self.state]
        for name in list(kept[0]) if len(kept) == len(weights) else []:
            column = [k.get(name) for k in kept]
            if all(isinstance(t, Tensor) and t.shape == w.shape and t.dtype == w.dtype and t.dim()
                   for t, w in zip(column, weights, strict=True)):
                for k, old, new in zip(kept, column, relaid(weights, 0.0)[1], strict=True):
                    k[name] = new.copy_(old)

    def zero_grad(  # pyright: ignore[reportIncompatibleMethodOverride] - as in AbstractLean
            self, *, set_to_none: bool = True) -> None:
        """Forgets the gradients, or fills them with zeros; flat ones are always filled and put back in their place."""
        if not self._gradients:
            return super().zero_grad(set_to_none=set_to_none)
        for weights, views, buffer in self._gradients:
            buffer.zero_()
            for w, view in zip(weights, views, strict=True):
                if w.grad is not view:
                    w.grad = view
        known = {w for weights, _, _ in self._gradients for w in weights}
        for w in (w for group in self.param_groups for w in group["params"] if w not in known):
            if set_to_none:
                w.grad = None
            elif w.grad is not None:
                w.grad.detach_().zero_()
        return None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch; flat states are laid end to end again."""
        super().load_state_dict(state_dict)
        with torch.no_grad():
            for weights, _, _ in self._gradients or []:
                self._flatten_states(weights)


def like(weights: list[Tensor], value: float, *, flat: bool) -> list[Tensor]:
    """A tensor full of `value` for each weight, laid out as it is; end to end if `flat`."""
    if flat and weights and all(_dense(w) and w.dtype == weights[0].dtype and w.device == weights[0].device
                                for w in weights):
        return relaid(weights, value)[1]
    return [torch.full_like(w.detach(), value) for w in weights]


def relaid(tensors: list[Tensor], value: float | None = None) -> tuple[Tensor, list[Tensor]]:
    """(buffer, views): copies of dense tensors of one type, end to end, or as many places full of `value`."""
    total = sum(t.numel() for t in tensors)
    buffer = torch.full((total,), value or 0.0, dtype=tensors[0].dtype, device=tensors[0].device)
    views, start = [], 0
    for t in tensors:
        views.append(buffer.as_strided(t.shape, t.stride(), start))
        if value is None:
            views[-1].copy_(t.detach())
        start += t.numel()
    return buffer, views


def _alike(weights: Iterable[Tensor]) -> list[list[Tensor]]:
    """The dense weights by type and device, without those that share memory with another."""
    found: dict[Any, list[Tensor]] = {}
    owners = [w.untyped_storage().data_ptr() for w in weights]
    for w, owner in zip(weights, owners, strict=True):
        if _dense(w) and owners.count(owner) == 1:
            found.setdefault((w.dtype, w.device), []).append(w)
    return list(found.values())


def _dense(w: Tensor) -> bool:
    return w.layout == torch.strided and torch.empty_like(w).stride() == w.stride()
