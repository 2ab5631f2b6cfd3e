"""How far to go along a direction.

The strong Wolfe search is torch's own, which it keeps for its L-BFGS (Nocedal and Wright 2006, algorithms 3.5 and 3.6
with cubic interpolation); scipy.optimize.line_search wants loss and gradient by two calls, a closure gives both.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.lbfgs import _strong_wolfe

from shinso.optim._whole import Landscape


@dataclass(frozen=True)
class Found:
    """The step length t that was taken, 0 where none lowers the loss, and what was met there."""

    t: float
    loss: float
    gradient: Tensor


def strong_wolfe(land: Landscape, direction: Tensor, here: Found, wolfe: tuple[float, float]) -> Found:
    """Goes to a t with f(t) <= f + c1 t f' and |f'(t)| <= c2 |f'|, wolfe = (c1, c2); here.t is tried first."""
    place, slope = land.place(), float(here.gradient.dot(direction))

    def at(_: object, t: float, d: Tensor) -> tuple[float, Tensor]:
        land.go(place + float(t) * d)
        return land.ask_again()

    nearest = torch.finfo(place.dtype).eps * max(1.0, float(place.abs().max()))
    loss, gradient, t, _ = _strong_wolfe(at, place, here.t, direction, here.loss, here.gradient, slope, *wolfe, nearest)
    land.go(place + float(t) * direction)
    return Found(float(t), float(loss), gradient)


def exact(land: Landscape, direction: Tensor, here: Found) -> Found:
    """Goes to the minimum along the direction of the second-order model, t = -f' / (d H d): exact on a quadratic."""
    bend = float(direction.dot(land.product(direction)))
    if not bend > 0:
        raise RuntimeError(f"{land.name} searches exactly only where the curvature along its direction is positive")
    t = -float(here.gradient.dot(direction)) / bend
    land.go(land.place() + t * direction)
    loss, gradient = land.ask_again()
    return Found(t, loss, gradient)


def armijo(land: Landscape, direction: Tensor, here: Found, c1: float = 1e-4, halvings: int = 40) -> Found:
    """Halves here.t until f(t) <= f + c1 t f' (Armijo 1966); stays where nothing lowers the loss."""
    place, slope, t = land.place(), float(here.gradient.dot(direction)), here.t
    for _ in range(halvings):
        land.go(place + t * direction)
        loss, gradient = land.ask_again()
        if loss <= here.loss + c1 * t * slope:
            return Found(t, loss, gradient)
        t /= 2
    land.go(place)
    return Found(0.0, here.loss, here.gradient)
