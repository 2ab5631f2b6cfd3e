"""One step is one point of a grid: measured there, beside what a theory predicts.

`measure(point)` depends on its point alone, so a resumed sweep needs no more than the rows that it already has; they
stay in the state for the pictures. A row that predicts has the scalars `measured`, `predicted` and `within`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, final

import numpy as np

from shinso.core.record import Record, plain

P = TypeVar("P")
Columns = Mapping[str, np.ndarray]
"""what was measured so far, float64 (points done,) by name"""


@final
class Sweep:
    """The program that walks through `points`; `draw` makes pictures of the columns so far."""

    def __init__(self, points: Sequence[P], measure: Callable[[P], Record],
                    draw: Callable[[Columns], dict[str, np.ndarray]]):
        self.total, self.draw = len(points), draw
        self.measure_at: Callable[[int], Record] = lambda i: measure(points[i])
        self.rows: list[dict[str, float]] = []

    def step(self, i: int) -> Record:
        self.rows.append(plain(self.measure_at(i)))
        return dict(self.rows[-1])

    def state(self) -> dict[str, Any]:
        return {"rows": [dict(row) for row in self.rows]}

    def restore(self, state: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]

    def columns(self) -> Columns:
        """The rows so far, turned on their side."""
        return {name: np.array([row[name] for row in self.rows]) for name in (self.rows[0] if self.rows else ())}

    def pictures(self) -> dict[str, np.ndarray]:
        return self.draw(self.columns()) if self.rows else {}
