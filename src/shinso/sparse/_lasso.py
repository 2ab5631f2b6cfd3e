"""The lasso as a problem, and its solution with a certificate; equation numbers as in ista.py."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.learn.iterate import State

Array = Tensor | np.ndarray


def soft_threshold(r: Tensor, threshold: float) -> Tensor:
    """(2), entry by entry; a negative threshold is refused because the formula is no proximal map there."""
    if not threshold >= 0:
        raise UserError("threshold", f"{threshold} is negative", "give a threshold of 0 or more")
    return r.sign() * (r.abs() - threshold).clamp_min(0)


@dataclass(frozen=True)
class Lasso:
    """(1) for one A (rows, columns) or a batch of them (..., rows, columns) and y (..., rows)."""

    A: Tensor
    y: Tensor
    penalty: float

    @cached_property
    def lipschitz(self) -> float:
        """L, the largest squared singular value; of a batch, the largest of all."""
        return float(torch.linalg.matrix_norm(self.A, 2).max()) ** 2

    def zero(self) -> Tensor:
        return self.y.new_zeros(*self.y.shape[:-1], self.A.shape[-1])

    def residual(self, x: Tensor) -> Tensor:
        """y - A x."""
        return self.y - (self.A @ x.unsqueeze(-1)).squeeze(-1)

    def correlation(self, x: Tensor) -> Tensor:
        """A^T (y - A x), minus the gradient of the smooth part; at the minimum within the box of (7)."""
        return (self.A.mT @ self.residual(x).unsqueeze(-1)).squeeze(-1)

    def objective(self, x: Tensor) -> Tensor:
        return 0.5 * self.residual(x).square().sum(-1) + self.penalty * x.abs().sum(-1)  # (1)

    def dual(self, x: Tensor) -> Tensor:
        """A lower bound on the minimum: the dual's value at y - A x scaled into the box of (7)."""
        largest = self.correlation(x).abs().amax(-1).clamp_min(torch.finfo(x.dtype).tiny)
        theta = self.residual(x) * (self.penalty / largest).clamp_max(1.0).unsqueeze(-1)  # (8)
        return (theta * self.y).sum(-1) - 0.5 * theta.square().sum(-1)

    def T(self, x: Tensor) -> Tensor:
        return soft_threshold(x + self.correlation(x) / self.lipschitz, self.penalty / self.lipschitz)  # (3)

    def ista(self, before: State) -> State:
        return {"x": self.T(before["x"])}  # pyright: ignore[reportArgumentType] - x is a tensor

    def fista(self, before: State, *, restart: bool = False) -> State:
        """One step of (5); `restart` forgets the momentum of every signal that has just moved against it."""
        x, z, t = (torch.as_tensor(before[name]) for name in ("x", "z", "t"))
        new = self.T(z)
        if restart:
            t = torch.where(((z - new) * (new - x)).sum(-1, keepdim=True) > 0, 1.0, t)
        later = (1 + torch.sqrt(1 + 4 * t * t)) / 2
        return {"x": new, "z": new + (t - 1) / later * (new - x), "t": later}  # (5)

    def start(self) -> State:
        x = self.zero()
        return {"x": x, "z": x, "t": torch.ones_like(x[..., :1])}


@dataclass(frozen=True)
class Solution:
    """A minimum with its certificate: F(x) is at most `gap` above the true minimum."""

    x: Tensor
    """float64 (..., columns)"""
    objective: Tensor
    """F(x) (...)"""
    gap: Tensor
    """F(x) minus the dual bound (8) (...)"""
    steps: int


def solve(A: Array, y: Array, penalty: float, *, tolerance: float = 1e-12, limit: int = 20_000) -> Solution:
    """Minimises (1) for A (..., rows, columns) and y (..., rows) in float64 by FISTA with restarts.

    Ends when every gap is at most `tolerance` times 1/2 ||y||^2, or after `limit` steps; the gap says what was reached.
    A column of zeros gets the coefficient 0. Note the scale: a lasso written with 1/(2 rows) wants penalty * rows here.
    """
    problem = _problem(A, y, penalty)
    state = problem.start()
    if problem.lipschitz == 0:
        limit = 0
    scale = 0.5 * problem.y.square().sum(-1)
    done = 0
    for done in range(1, limit + 1):
        state = problem.fista(state, restart=True)
        if done % 10 == 0 and bool((_gap(problem, state) <= tolerance * scale).all()):
            break
    x = torch.as_tensor(state["x"])
    return Solution(x, problem.objective(x), _gap(problem, state), done)


def _gap(problem: Lasso, state: State) -> Tensor:
    x = torch.as_tensor(state["x"])
    return problem.objective(x) - problem.dual(x)


def _problem(A: Array, y: Array, penalty: float) -> Lasso:
    A, y = torch.as_tensor(A, dtype=torch.float64), torch.as_tensor(y, dtype=torch.float64)
    if A.ndim < 2 or y.ndim < 1 or A.shape[-2] != y.shape[-1]:
        raise UserError("lasso", f"A {tuple(A.shape)} and y {tuple(y.shape)} do not fit",
                        "give A as (rows, columns) and y with one number per row")
    if not (A.isfinite().all() and y.isfinite().all()):
        raise UserError("lasso", "A or y holds values that are not finite", "remove or replace them")
    if not 0 <= penalty < float("inf"):
        raise UserError("penalty", f"{penalty} is negative or not finite", "give a number of 0 or more")
    batch = torch.broadcast_shapes(A.shape[:-2], y.shape[:-1])
    return Lasso(A, y.expand(*batch, y.shape[-1]), float(penalty))
