"""What one step means: the interface every system gives to the loop, and the abilities it may add.

A program is any object with the four members of `Program`. What it can do beyond a step - be evaluated, predict,
draw, be exported - it says by having the members of one of the further protocols here; nobody inherits from anything.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from shinso.core.record import Record


class Program(Protocol):
    """One step at a time, and all state that must survive a kill."""

    total: int
    """steps until done"""

    def step(self, i: int) -> Record: ...

    def state(self) -> dict[str, Any]:
        """Nested dicts and lists of tensors, arrays and plain values; the store copies them before the next step."""
        ...

    def restore(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Evaluated(Protocol):
    """A program that can be judged on a split: `validation` while it runs, `test` at its end."""

    rhythm: int
    """steps between two evaluations"""

    def evaluate(self, split: str) -> Record: ...


@runtime_checkable
class Predicts(Protocol):
    """A program that answers for a user's files, one (label, probability) each, in order."""

    def predict(self, files: Sequence[Path]) -> list[tuple[str, float]]: ...


@runtime_checkable
class Ranks(Protocol):
    """A program that has several answers for a file: (label, probability), at most `count`, the likeliest first."""

    def rank(self, files: Sequence[Path], count: int) -> list[list[tuple[str, float]]]: ...


@runtime_checkable
class Pictured(Protocol):
    """A program that shows what it has learned, as uint8 images (height, width, 3) by file name without suffix."""

    def pictures(self) -> dict[str, np.ndarray]: ...


@runtime_checkable
class Files(Protocol):
    """A program that leaves files in its run folder, their bytes by file name: an animation, data for other programs.

    They are asked for at the end of a run only and stand in `files/`; the report shows those that are moving pictures.
    """

    def files(self) -> dict[str, bytes]: ...


@runtime_checkable
class Networked(Protocol):
    """A program that holds networks: for export, for the watch that names a bad layer, and for looking inside."""

    def networks(self) -> dict[str, nn.Module]: ...

    def example(self) -> dict[str, Tensor]:
        """A small input batch for each network that can be exported, by the same names."""
        ...
