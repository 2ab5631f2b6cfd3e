"""What may happen after a step: evaluate, watch, stop. A hook that remembers something has state() and restore()."""

import math
from collections.abc import Callable
from typing import Any, final

from shinso.core.errors import Diverged
from shinso.core.record import plain
from shinso.engine.loop import Row
from shinso.engine.program import Evaluated, Networked, Program


@final
class Every:
    """Calls `action(row, program)` after every n-th step and after the last one."""

    def __init__(self, n: int, action: Callable[[Row, Program], bool | None]):
        self.n, self.action = n, action

    def __call__(self, row: Row, program: Program) -> bool | None:
        if row.step % self.n == 0 or row.step == program.total:
            return self.action(row, program)
        return None


@final
class StopWhen:
    """Ends the run after the first row of which `condition` is true."""

    def __init__(self, condition: Callable[[Row], bool]):
        self.condition = condition

    def __call__(self, row: Row, program: Program) -> bool:
        return self.condition(row)


@final
class Evaluate:
    """Judges the program on a split at its rhythm and adds `SPLIT_NAME` values to the row."""

    def __init__(self, split: str = "validation"):
        self.split = split

    def __call__(self, row: Row, program: Program) -> None:
        rhythm = getattr(program, "rhythm", 0)  # first, because isinstance with a Protocol costs a step 9 us
        if rhythm and (row.step % rhythm == 0 or row.step == program.total) and isinstance(program, Evaluated):
            measured = plain(program.evaluate(self.split))
            row.added.update({f"{self.split}_{name}": value for name, value in measured.items()})


@final
class Best:
    """Remembers the best value of a figure among the rows that have it; ends the run when patience is exhausted.

    `better` says which direction is good; patience 0 never stops. `improved` is true on the row that set the record,
    which is when a store should keep a copy.
    """

    def __init__(self, figure: str, *, higher: bool, patience: int = 0):
        self.figure, self.sign, self.patience = figure, 1.0 if higher else -1.0, patience
        self.value, self.step, self.waited, self.improved = -math.inf, 0, 0, False

    def __call__(self, row: Row, program: Program) -> bool:
        self.improved = False
        if self.figure not in row.added:
            return False
        value = self.sign * row.added[self.figure]
        if value > self.value:
            self.value, self.step, self.waited, self.improved = value, row.step, 0, True
        else:
            self.waited += 1
        return 0 < self.patience <= self.waited

    def state(self) -> dict[str, Any]:
        return {"value": self.value, "step": self.step, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        self.value, self.step, self.waited = state["value"], state["step"], state["waited"]


@final
class Watch:
    """Ends a run that leaves the finite numbers, naming where; or whose watched values grow a thousandfold.

    Every `every`-th record is looked at, and the last one: on a device looking waits, on the CPU it costs nothing.
    A program names values that must not grow in `watched`, and says where it went wrong in `blame()`, if it can.
    """

    def __init__(self, every: int = 1, growth: float = 1000.0, patience: int = 20):
        self.every, self.growth, self.patience = every, growth, patience
        self.first: dict[str, float] = {}
        self.above: dict[str, int] = {}

    def __call__(self, row: Row, program: Program) -> None:
        if row.step % self.every and row.step != program.total:
            return
        for name, value in row.record.items():
            if not math.isfinite(value):
                raise Diverged(row.step, name, _origin(program))
        for name in getattr(program, "watched", ()):
            value = abs(float(row.record[name]))
            start = self.first.setdefault(name, max(value, 1e-3))
            self.above[name] = self.above.get(name, 0) + 1 if value > self.growth * start else 0
            if self.above[name] >= self.patience:
                raise Diverged(row.step, f"{name} ({value:.3g}, {value / start:.0f} times its start)", _origin(program))

    def state(self) -> dict[str, Any]:
        return {"first": dict(self.first), "above": dict(self.above)}

    def restore(self, state: dict[str, Any]) -> None:
        self.first, self.above = dict(state["first"]), dict(state["above"])


def _origin(program: Program) -> str:
    blame = getattr(program, "blame", None)
    if blame is not None:
        return blame()
    if isinstance(program, Networked):
        for part, network in program.networks().items():
            for name, weight in network.named_parameters():
                if not weight.isfinite().all():
                    return f"{part}.{name}"
    return "unknown"
