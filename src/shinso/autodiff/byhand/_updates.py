"""What the update rules share: pairs of weight and gradient, memory beside them, and a walk to try a rule on."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.errors import UserError

Arrays = Mapping[str, np.ndarray]


class Rule(Protocol):
    """An update rule: changes the parameters in place, in its own memory of gradients before."""

    def update(self, params: Arrays, grads: Arrays) -> None: ...


def pairs(params: Arrays, grads: Arrays) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, weight and gradient of each gradient; one without a weight, or none at all, is refused."""
    if not grads:
        raise UserError("update", "there are no gradients", "call backward before update")
    weights = dict(params.items())
    for name, grad in grads.items():
        weight = weights.get(name)
        if weight is None:
            raise UserError("update", f"'{name}' has a gradient but is no parameter", "give the same layer's params")
        if grad.shape != weight.shape:
            fits("update", f"the gradient of '{name}'", grad.shape, weight.shape)
        yield name, weight, grad


class Memory(dict[str, np.ndarray]):
    """An array of zeros beside each parameter, made when it is first asked for."""

    def of(self, name: str, like: np.ndarray) -> np.ndarray:
        found = self.get(name)
        if found is None:
            found = self[name] = np.zeros(like.shape, like.dtype)
        return found


class Scratch:
    """One array, as large as the largest parameter, for what is only needed within an update."""

    def __init__(self) -> None:
        self.flat = np.empty(0)

    def like(self, array: np.ndarray) -> np.ndarray:
        """Unset numbers in the shape and type of `array`, valid until the next call."""
        if self.flat.size < array.size or self.flat.dtype != array.dtype:
            self.flat = np.empty(array.size, array.dtype)
        return self.flat[:array.size].reshape(array.shape)


def toward(average: np.ndarray, value: np.ndarray, share: float) -> None:
    """average <- average + share (value - average), in place; `value` is used up."""
    value -= average
    value *= share
    average += value


def walk(rule: Rule, slope: Callable[[np.ndarray], np.ndarray], start: np.ndarray, steps: int) -> np.ndarray:
    """The points (steps + 1, ...) that `rule` passes from `start` where the gradient at w is slope(w)."""
    params, path = {"w": np.array(start, float)}, [np.array(start, float)]
    for _ in range(steps):
        rule.update(params, {"w": slope(params["w"])})
        path.append(params["w"].copy())
    return np.array(path)
