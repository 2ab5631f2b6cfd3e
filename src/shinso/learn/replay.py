"""Experience replay: the last moves in a ring, drawn from uniformly.

Neighbouring moves resemble each other; a batch drawn from a long memory does not. Five things are kept of a move:
what was seen, what was done, what it earned, what was seen then - and whether the world ended there, without which
the value beyond the end would be counted. Source: Lin 1992; Mnih et al. 2013.
"""

from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor


class Moves(NamedTuple):
    """A batch of remembered moves, first axis n."""

    seen: Tensor
    """s, (n, *shape)"""
    actions: Tensor
    """a, (n,) int64"""
    rewards: Tensor
    """r, (n,) float"""
    then: Tensor
    """s', (n, *shape)"""
    terminated: Tensor
    """(n,) float: 1 where the world ended, 0 where it went on or was only cut off by a time limit"""

    def part(self, start: int, stop: int) -> "Moves":
        return Moves(*(field[start:stop] for field in self))


@final
class Ring:
    """Room for `capacity` moves; a new one takes the place of the oldest. Everything is copied in."""

    def __init__(self, capacity: int, shape: tuple[int, ...], dtype: Any):
        self.capacity, self.size, self.at = capacity, 0, 0
        self.fields = {
            "seen": np.zeros((capacity, *shape), dtype), "actions": np.zeros(capacity, np.int64),
            "rewards": np.zeros(capacity, np.float32), "then": np.zeros((capacity, *shape), dtype),
            "terminated": np.zeros(capacity, np.float32),
        }
        self.columns = tuple(self.fields.values())

    def add(self, seen: np.ndarray, action: int, reward: float, then: np.ndarray, *, terminated: bool) -> None:
        s, a, r, s2, end = self.columns
        at = self.at
        s[at], a[at], r[at], s2[at], end[at] = seen, action, reward, then, terminated
        self.at = (at + 1) % self.capacity
        self.size = max(self.size, at + 1)

    def sample(self, rng: np.random.Generator, count: int, device: str = "cpu") -> Moves:
        """`count` moves drawn uniformly and with replacement."""
        places = rng.integers(self.size, size=count)
        return Moves(*(torch.from_numpy(column.take(places, axis=0)).to(device) for column in self.columns))

    def state(self) -> dict[str, Any]:
        return {"at": self.at, "fields": {name: field[: self.size] for name, field in self.fields.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        self.at, self.size = state["at"], len(state["fields"]["actions"])
        for name, field in self.fields.items():
            field[: self.size] = np.asarray(state["fields"][name])
