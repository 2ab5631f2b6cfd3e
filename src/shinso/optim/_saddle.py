"""Saddles that the escaping methods are measured on, with the closures that torch's optimisers ask."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Known = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
"""a function of a vector and its gradient"""


def quartic(stiff: float = 2.0, falling: float = 2.0) -> Known:
    """stiff x^2/2 - falling y^2/2 + y^4/4; x^2 - y^2 + y^4/4 as it stands: a saddle at 0, minima at y = +-sqrt falling.

    More coordinates than two are stiff as well. The least value is -falling^2 / 4.
    """

    def height(w: Tensor) -> Tensor:
        x, y = w[:-1], w[-1]
        return stiff / 2 * x.dot(x) - falling / 2 * y**2 + y**4 / 4

    def slope(w: Tensor) -> Tensor:
        g = stiff * w
        g[-1] = w[-1] ** 3 - falling * w[-1]
        return g

    return height, slope


def closure(w: Tensor, known: Known) -> Callable[[], Tensor]:
    """What an optimiser of w asks: sets the gradient, gives the height. It counts how often: `closure.calls`."""
    height, slope = known

    def ask() -> Tensor:
        ask.calls += 1  # pyright: ignore[reportFunctionMemberAccess]
        w.grad = slope(w.detach())
        return height(w.detach())

    ask.calls = 0  # pyright: ignore[reportFunctionMemberAccess]
    return ask


def descend(optimiser: Any, known: Known, steps: int,
            until: Callable[[Tensor], Any] = lambda w: False) -> Tensor:
    """(steps taken + 1, n): where the only weight of `optimiser` was; it ends early where `until` holds."""
    (w,) = optimiser.param_groups[0]["params"]
    ask, places = closure(w, known), [w.detach().clone()]
    for _ in range(steps):
        if until(places[-1]):
            break
        optimiser.step(ask)
        places.append(w.detach().clone())
    return torch.stack(places)
