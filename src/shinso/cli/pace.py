"""The command line's own hooks: which evaluation is the best, what is written down, when a save is worth its time."""

import time
from collections.abc import Callable, Iterator
from typing import Any, final

from shinso.core.errors import UserError
from shinso.core.record import plain
from shinso.engine.hooks import Best
from shinso.engine.loop import Hook, Row
from shinso.engine.program import Program
from shinso.engine.saving import Checkpointing

# What a run is judged by, the first that its evaluation has: (name, whether higher is better).
FIGURES = (("validation_return_mean", True), ("validation_accuracy", True), ("validation_loss", False))
MOST_RECORDS = 1000
SAVE_SHARE = 20.0
"""a checkpoint that nobody asked for is written when this many times the last one's duration has passed"""
LEAST_PAUSE, LONGEST_PAUSE = 2.0, 60.0


@final
class Judge:
    """`Best` for a figure that is chosen when the first evaluation shows what there is."""

    def __init__(self, patience: int):
        self.patience = patience
        self.best: Best | None = None

    def __call__(self, row: Row, program: Program) -> bool:
        if self.best is None:
            found = next(((name, higher) for name, higher in FIGURES if name in row.added), None)
            if found is None:
                return False
            self.best = Best(found[0], higher=found[1], patience=self.patience)
        return self.best(row, program)

    @property
    def improved(self) -> bool:
        """Whether the row just seen set the record."""
        return self.best is not None and self.best.improved

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.best is not None and 0 < self.patience <= self.best.waited

    def state(self) -> dict[str, Any]:
        if self.best is None:
            return {"figure": None}
        return {"figure": self.best.figure, "higher": self.best.sign > 0, **self.best.state()}

    def restore(self, state: dict[str, Any]) -> None:
        if state["figure"] is not None:
            self.best = Best(state["figure"], higher=state["higher"], patience=self.patience)
            self.best.restore(state)


@final
class Shield:
    """Ends a run in order where a file of its data can no longer be read: what it learned until then can be saved.

    Called as a hook it evaluates. `error` is what stopped the run; None until then.
    """

    def __init__(self, evaluate: Hook):
        self.evaluate = evaluate
        self.error: UserError | None = None

    def __call__(self, row: Row, program: Program) -> bool:
        try:
            self.evaluate(row, program)
        except UserError as error:
            self.error = error
        return self.error is not None

    def rows(self, rows: Iterator[Row], program: Program) -> Iterator[Row]:
        """`rows` up to a step that could not begin; an error that leaves the program half way is raised."""
        try:
            yield from rows
        except UserError as error:
            if not getattr(program, "unharmed", False):
                raise
            self.error = error


@final
class Recorder:
    """Hands every n-th row, every evaluation and the last row to `write`, as plain values."""

    def __init__(self, total: int, write: Callable[[dict[str, Any]], None]):
        self.every, self.total, self.write = max(1, total // MOST_RECORDS), total, write
        self.last: dict[str, Any] = {}

    def __call__(self, row: Row, program: Program) -> None:
        if row.added or row.step % self.every == 0 or row.step == self.total:
            self.last = {"step": row.step, **plain(row.record), **row.added}
            self.write(self.last)


@final
class Timed:
    """A hook with the seconds that it took."""

    def __init__(self, hook: Hook):
        self.hook, self.seconds = hook, 0.0

    def __call__(self, row: Row, program: Program) -> bool | None:
        began = time.perf_counter()
        enough = self.hook(row, program)
        self.seconds += time.perf_counter() - began
        return enough


@final
class Pace:
    """When to save, if nobody said: after an evaluation, or after a minute, as long as saving stays below 5 %.

    Stands behind `saving`. With `every` > 0 the user has said, and this does nothing.
    """

    def __init__(self, saving: Checkpointing, every: int):
        self.saving, self.every = saving, every
        self.at, self.cost = time.perf_counter(), 0.0

    def due(self) -> bool:
        """Whether a save would pay now."""
        return time.perf_counter() - self.at >= max(LEAST_PAUSE, SAVE_SHARE * self.cost)

    def __call__(self, row: Row, program: Program) -> None:
        if self.every:
            return
        waited = time.perf_counter() - self.at
        if waited < LEAST_PAUSE or not ((row.added and self.due()) or waited > LONGEST_PAUSE):
            return
        began = time.perf_counter()
        self.saving.save_now(program)
        self.at = time.perf_counter()
        self.cost = self.at - began
