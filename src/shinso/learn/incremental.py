"""Incremental training of an unfolded method: its first iteration, then its first two, and so on to all of them.

An iteration whose numbers are to be learned is written out T times, each time with numbers of its own. Generation g
(from 1 to T) trains the first g iterations for `steps` updates of Adam; those beyond have a gradient of exactly zero
and wait where they started. (Ito, Takabe and Wadayama 2019.)
"""

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Generator, Tensor

from shinso.core.record import Record
from shinso.core.seed import generator

Numbers = Mapping[str, Tensor]
"""what is learned, each tensor with the iteration as its first dimension"""


@final
class Incremental:
    """The program of T generations. Every batch is drawn from (seed, step) alone.

    `loss(numbers, depth, draw)` is that of the first `depth` iterations; `describe(numbers, depth, draw)`, with the
    same draw, adds to the record. `fresh` begins each generation with a new Adam, without the moments of the last.
    """

    def __init__(self, start: Numbers, loss: Callable[[Numbers, int, Generator], Tensor], *, steps: int,
                 lr: float, seed: int, fresh: bool = False,
                 describe: Callable[[Numbers, int, Generator], Record] | None = None):
        self.numbers = {name: value.clone().requires_grad_() for name, value in start.items()}
        self.depths = min(len(value) for value in start.values())
        self.loss, self.describe, self.steps, self.lr, self.seed, self.fresh = loss, describe, steps, lr, seed, fresh
        self.total = self.depths * steps
        self.adam = self._new()

    def depth(self, i: int) -> int:
        """How many iterations step i trains, from 1."""
        return i // self.steps + 1

    def step(self, i: int) -> Record:
        depth = self.depth(i)
        if self.fresh and i % self.steps == 0:
            self.adam = self._new()
        more = self.describe(self.numbers, depth, self._draw(i)) if self.describe is not None else {}
        self.adam.zero_grad()
        loss = self.loss(self.numbers, depth, self._draw(i))
        loss.backward()
        self.adam.step()
        return {"loss": loss.detach(), "depth": float(depth), **more}

    def state(self) -> dict[str, Any]:
        return {"numbers": {name: value.detach().clone() for name, value in self.numbers.items()},
                "adam": self.adam.state_dict()}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        for name, value in self.numbers.items():
            value.copy_(state["numbers"][name])
        self.adam = self._new()
        self.adam.load_state_dict(state["adam"])

    def learned(self) -> dict[str, Tensor]:
        """The numbers so far, without their tape."""
        return {name: value.detach().clone() for name, value in self.numbers.items()}

    def _new(self) -> torch.optim.Adam:
        return torch.optim.Adam(list(self.numbers.values()), lr=self.lr)

    def _draw(self, i: int) -> Generator:
        return generator(self.seed, f"batch/{i}")
