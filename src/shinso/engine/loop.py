"""The only loop: it counts, calls hooks, and yields what came out.

Whoever asks for the next row holds the clock: the command line drains the generator, a notebook slices it, a studio
pauses by not asking.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from shinso.core.record import Record
from shinso.engine.program import Program


@dataclass
class Row:
    """What one step left behind: the step's own record, then what the hooks added to it."""

    step: int
    """steps done, counted from 1"""
    record: Record
    added: dict[str, Any] = field(default_factory=dict)
    """plain values that hooks measured at this step"""


class Hook(Protocol):
    """Called after every step; returns True to end the run after this row."""

    def __call__(self, row: Row, program: Program) -> bool | None: ...


def run(program: Program, *hooks: Hook, start: int = 0) -> Iterator[Row]:
    """Steps `program` from `start` to its total, or until a hook says that it is enough."""
    for i in range(start, program.total):
        row = Row(i + 1, program.step(i))
        enough = False
        for hook in hooks:
            enough = bool(hook(row, program)) or enough
        yield row
        if enough:
            return
