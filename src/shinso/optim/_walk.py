"""A walk down a known function: what the facts of the update rules measure."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def weights(values: Sequence[float] | Tensor) -> Tensor:
    """A vector of float64 weights, for `walk`."""
    return torch.as_tensor(values, dtype=torch.float64).clone().requires_grad_()


def walk(optimiser: torch.optim.Optimizer, gradient: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    """(steps + 1, n): the optimiser's only weights before the first and after every step along `gradient(w)`."""
    (w,) = optimiser.param_groups[0]["params"]
    places = [w.detach().clone()]
    for _ in range(steps):
        w.grad = gradient(w.detach()).clone()
        optimiser.step()
        places.append(w.detach().clone())
    return torch.stack(places)


def along(optimiser: torch.optim.Optimizer, gradients: Sequence[float]) -> list[float]:
    """The places of one weight that is given these gradients, one after the other; without its start."""
    given = iter(gradients)
    return walk(optimiser, lambda w: torch.full_like(w, next(given)), len(gradients))[1:, 0].tolist()
