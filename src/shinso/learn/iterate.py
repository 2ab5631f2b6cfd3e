"""One step is x <- T(x): fixed points, sweeps, expectation-maximisation, proximal iterations.

Everything that must survive is x itself, a flat dict of tensors and plain numbers: what the map wants to remember
(a momentum, a counter) is one more entry of x. T returns a new dict and changes nothing that it was given; then the
old and the new x can be compared, and a state that was handed out stays what it was.

`total` is the budget. A run that should end earlier, at a tolerance, is given `settled(tolerance)` as a hook:

    for row in run(program, settled(1e-9)): ...
"""

from typing import Any, Protocol, final

import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.core.record import Record
from shinso.engine.hooks import StopWhen

State = dict[str, Tensor | float | int]
"""x: named tensors and numbers"""


class Map(Protocol):
    """T of x <- T(x); pure."""

    def __call__(self, x: State, /) -> State: ...


class Measure(Protocol):
    """What to say about one step: (x before, x after) -> named scalars."""

    def __call__(self, before: State, after: State, /) -> Record: ...


@final
class Iterate:
    """The program x <- T(x) with `measure(before, after)` as its record."""

    def __init__(self, start: State, advance: Map, measure: Measure, total: int):
        self.x, self.advance, self.measure, self.total = dict(start), advance, measure, total

    @torch.no_grad()
    def step(self, i: int) -> Record:
        before, self.x = self.x, self.advance(self.x)
        return self.measure(before, self.x)

    def state(self) -> dict[str, Any]:
        return {"x": dict(self.x)}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes x back, on the device and in the number format that this program computes in."""
        self.x = {name: _like(self.x[name], value) for name, value in state["x"].items()}


def largest_change(before: State, after: State) -> Tensor:
    """max |after - before| over every entry of every floating-point tensor: the residual of x = T(x)."""
    pairs = [(before[name], value) for name, value in after.items()]
    return torch.stack([(b - a).abs().max() for a, b in pairs
                        if isinstance(a, Tensor) and isinstance(b, Tensor) and b.is_floating_point()]).max()


def settled(tolerance: float, name: str = "residual") -> StopWhen:
    """A hook that ends the run once the record's `name` is at most `tolerance`."""
    if not tolerance >= 0:
        raise UserError("tolerance", f"{tolerance} is not a distance", "give a number that is not negative")
    return StopWhen(lambda row: float(row.record[name]) <= tolerance)


def _like(mine: Tensor | float | int, value: Any) -> Any:
    return value.to(mine) if isinstance(mine, Tensor) else value
