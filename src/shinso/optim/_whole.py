"""All weights of an optimiser as one vector, for methods that move them along one direction."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import inf, nan
from typing import Any

import torch
from torch import Tensor

from shinso.optim._lean import AbstractLean


class Landscape:
    """The loss as a function of all weights laid end to end; `sign` -1 turns it upside down, to climb."""

    def __init__(self, name: str, weights: list[Tensor], closure: Callable[[], Any] | None, sign: float):
        self.name, self.weights, self.closure, self.sign = name, weights, closure, sign
        self.sizes, self.evaluations, self.first = [w.numel() for w in weights], 0, None

    def ask(self) -> tuple[float, Tensor]:
        """Loss and gradient where the weights are now, by the closure; without one, the gradients that are there."""
        loss = None
        if self.closure is not None:
            with torch.enable_grad(), warnings.catch_warnings():  # no cycle is left: `leave` cuts it
                warnings.filterwarnings("ignore", message=r"Using backward\(\) with create_graph=True")
                loss = self.closure()
            loss = loss.detach() if isinstance(loss, Tensor) else loss
        if self.evaluations == 0:
            self.first = loss
        self.evaluations += 1
        return self.sign * (nan if loss is None else float(loss)), self.sign * self._gradient().detach()

    def ask_again(self) -> tuple[float, Tensor]:
        """The same for a search, which asks more than once; where the loss is no finite number it is infinite."""
        if self.closure is None:
            raise RuntimeError(f"{self.name} asks for the loss more than once: it needs step(closure)")
        loss, gradient = self.ask()
        return (loss, gradient) if abs(loss) < inf else (inf, torch.full_like(gradient, nan))  # halved, not fitted

    def place(self) -> Tensor:
        """A copy of all weights."""
        return torch.cat([w.detach().reshape(-1) for w in self.weights])

    def go(self, place: Tensor) -> None:
        """Puts the weights there."""
        for w, part in zip(self.weights, place.split(self.sizes), strict=True):
            w.copy_(part.view_as(w))

    def product(self, vector: Tensor) -> Tensor:
        """The Hessian where the loss was last asked for, times a vector; without forming the Hessian."""
        seen = [(w.grad, v.view_as(w)) for w, v in zip(self.weights, vector.split(self.sizes), strict=True)
                if w.grad is not None and w.grad.requires_grad]
        self._demand_curvature(bool(seen))
        parts = torch.autograd.grad([g for g, _ in seen], self.weights, [v for _, v in seen], retain_graph=True,
                                    allow_unused=True)
        return self.sign * _flat(parts, self.weights)

    def hessian(self) -> Tensor:
        """The (n, n) Hessian there."""
        with torch.enable_grad():
            gradient = self._gradient()
        self._demand_curvature(gradient.requires_grad)
        matrix = self.sign * jacobian(gradient, self.weights)
        return (matrix + matrix.T) / 2

    def leave(self) -> None:
        """Cuts the graphs from the gradients."""
        for w in self.weights:
            if w.grad is not None and w.grad.requires_grad:
                w.grad = w.grad.detach()

    def _gradient(self) -> Tensor:
        if any(w.is_complex() for w in self.weights):
            raise RuntimeError(f"{self.name} does not support complex parameters")
        if any(w.grad is not None and w.grad.is_sparse for w in self.weights):
            raise RuntimeError(f"{self.name} does not support sparse gradients")
        return _flat([w.grad for w in self.weights], self.weights)

    def _demand_curvature(self, there: bool) -> None:
        if not there:
            raise RuntimeError(f"{self.name} needs curvature: call loss.backward(create_graph=True) in the closure")


class AbstractWhole(AbstractLean, torch.optim.Optimizer, ABC):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Says what one step does in `advance`; its state, of all weights, stands with the first one, as torch's LBFGS."""

    curvature = False
    most_weights: int | None = None
    """beyond which a method that keeps a matrix of n^2 numbers refuses; None: any number"""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if self.param_groups:
            raise ValueError(f"{type(self).__name__} doesn't support per-parameter options (parameter groups)")
        super().add_param_group(param_group)
        number = sum(w.numel() for w in self.param_groups[0]["params"])
        if self.most_weights is not None and number > self.most_weights:
            raise ValueError(f"{type(self).__name__} keeps a matrix of n x n numbers: {number} weights are too many"
                             f" (at most {self.most_weights})")

    def step(  # pyright: ignore[reportIncompatibleMethodOverride] - torch's has overloads
            self, closure: Callable[[], Any] | None = None) -> Any:
        """One iteration; returns what the closure returned the first time it was called."""
        (group,) = self.param_groups
        weights = group["params"]
        land = Landscape(type(self).__name__, weights, closure, -1.0 if group["maximize"] else 1.0)
        state = self.state[weights[0]]
        with torch.no_grad():
            try:
                self.advance(land, group, state)
            finally:
                land.leave()
        state["step"] = state.get("step", 0) + 1
        state["evaluations"] = state.get("evaluations", 0) + land.evaluations
        return land.first

    @abstractmethod
    def advance(self, land: Landscape, group: dict[str, Any], state: dict[str, Any]) -> None:
        """Moves the weights of `land`; `state` is kept for the next step."""


def descent(optimiser: torch.optim.Optimizer, loss: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    """(steps + 1, n): the optimiser's only weights before the first and after every step down loss(w)."""
    (w,) = optimiser.param_groups[0]["params"]
    places = [w.detach().clone()]

    def closure() -> Any:
        optimiser.zero_grad()
        value = loss(w)
        value.backward(create_graph=True)
        return value

    for _ in range(steps):
        optimiser.step(closure)
        places.append(w.detach().clone())
    return torch.stack(places)


def jacobian(outputs: Tensor, inputs: Sequence[Tensor], at_once: int = 128) -> Tensor:
    """(m, n): the derivatives of m outputs, a vector, with respect to all entries of the inputs laid end to end."""
    unit, rows = torch.eye(len(outputs), dtype=outputs.dtype, device=outputs.device), []
    for some in unit.split(at_once):
        try:
            parts = torch.autograd.grad(outputs, inputs, some, retain_graph=True, allow_unused=True,
                                        is_grads_batched=True)
            rows.append(torch.cat([w.new_zeros(len(some), w.numel()) if part is None else part.reshape(len(some), -1)
                                   for w, part in zip(inputs, parts, strict=True)], 1))
        except RuntimeError:  # an operation whose derivative cannot be taken in a batch
            for one in some:
                parts = torch.autograd.grad(outputs, inputs, one, retain_graph=True, allow_unused=True)
                rows.append(_flat(parts, inputs)[None])
    return torch.cat(rows).detach()


def solved(matrix: Tensor, vector: Tensor, damping: float, *, absolute: bool = False) -> Tensor:
    """(matrix + damping)^-1 vector for a symmetric matrix, of |eigenvalues| if absolute.

    Directions whose eigenvalue is 0 up to rounding are left out, as by the pseudo-inverse. It is done in float64.
    """
    values, vectors = torch.linalg.eigh(matrix.double())
    values = (values.abs() if absolute else values) + damping
    least = len(values) * torch.finfo(matrix.dtype).eps * values.abs().max()
    inverse = torch.where(values.abs() > least, 1 / values, 0.0)
    return (vectors @ (inverse * (vectors.T @ vector.double()))).to(vector.dtype)


def _flat(parts: Sequence[Tensor | None], weights: Sequence[Tensor]) -> Tensor:
    """Laid end to end; what is missing is 0."""
    return torch.cat([w.new_zeros(w.numel()) if part is None else part.reshape(-1)
                      for w, part in zip(weights, parts, strict=True)])
