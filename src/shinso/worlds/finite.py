"""Finite worlds whose best action values are known: identity, corridor, two states, temptation.

    Q*(s, a) = sum_s' P(s'|s,a) [ r(s,a) + gamma max_b Q*(s', b) ],   and 0 beyond a terminal state      (1)

States are seen as one-hot vectors. `best_values` iterates (1) to its fixed point: the oracle for a learner.
Source: Bellman 1957; Watkins 1989 for the tabular view.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Finite:
    """A finite Markov decision process in Gymnasium's manner; `limit` moves truncate an episode."""

    chances: np.ndarray
    """P(s'|s, a), shape (states, actions, states), rows sum to 1"""
    rewards: np.ndarray
    """r(s, a), shape (states, actions)"""
    terminal: np.ndarray
    """whether a state ends the episode, shape (states,)"""
    start: np.ndarray
    """distribution of the first state, shape (states,)"""
    limit: int
    """moves after which an episode is truncated"""
    dtype: Any = np.float32
    now: int = field(default=0, init=False)
    moves: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.num_actions, self.shape = self.chances.shape[1], (self.chances.shape[0],)
        self.eye = np.eye(self.chances.shape[0], dtype=self.dtype)
        self.ladder = self.chances.cumsum(axis=2)
        self.rng = np.random.default_rng(0)

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.now, self.moves = self._drawn(self.start.cumsum()), 0
        return self.eye[self.now], {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = float(self.rewards[self.now, action])
        self.now, self.moves = self._drawn(self.ladder[self.now, action]), self.moves + 1
        return self.eye[self.now], reward, bool(self.terminal[self.now]), self.moves >= self.limit, {}

    def get_state(self) -> dict[str, Any]:
        return {"now": self.now, "moves": self.moves, "rng": self.rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.now, self.moves = state["now"], state["moves"]
        self.rng.bit_generator.state = state["rng"]

    def _drawn(self, ladder: np.ndarray) -> int:
        return min(int(np.searchsorted(ladder, self.rng.random(), side="right")), len(ladder) - 1)


def best_values(world: Finite, gamma: float) -> np.ndarray:
    """Q* of equation (1), shape (states, actions), exact to 1e-12; rows of terminal states are 0."""
    values = np.zeros_like(world.rewards)
    while True:
        ahead = np.where(world.terminal, 0.0, values.max(axis=1))
        new = np.where(world.terminal[:, None], 0.0, world.rewards + gamma * world.chances @ ahead)
        if np.abs(new - values).max() <= 1e-12 * (1 - gamma):
            return new
        values = new


def identity(size: int = 3, limit: int = 20) -> Finite:
    """Every state is followed by a random one; the action that names the state earns 1, any other 0."""
    chances = np.full((size, size, size), 1 / size)
    return Finite(chances, np.eye(size), np.zeros(size, bool), np.full(size, 1 / size), limit)


def corridor(length: int = 5, limit: int = 40) -> Finite:
    """Left and right; reaching the last of `length` states earns 1 and ends: Q*(s, right) = gamma^(length-2-s)."""
    chances, rewards = np.zeros((length, 2, length)), np.zeros((length, 2))
    for s in range(length):
        chances[s, 0, max(s - 1, 0)] = chances[s, 1, min(s + 1, length - 1)] = 1
    rewards[length - 2, 1] = 1
    return Finite(chances, rewards, np.arange(length) == length - 1, _at(0, length), limit)


def two_state(limit: int = 20) -> Finite:
    """Stay or change, for ever: staying earns 0 in state 0 and 1 in state 1, so Q*(0, change) = gamma / (1 - gamma)."""
    chances = np.array([[[1.0, 0], [0, 1]], [[0, 1], [1, 0]]])
    return Finite(chances, np.array([[0.0, 0], [1, 0]]), np.zeros(2, bool), np.array([0.5, 0.5]), limit)


def temptation(limit: int = 10) -> Finite:
    """Action 0 earns 1 twice and ends, action 1 earns nothing and then 100: a clipped reward prefers the wrong one."""
    chances, rewards = np.zeros((4, 2, 4)), np.array([[1.0, 0], [1, 1], [100, 100], [0, 0]])
    chances[0, 0, 1] = chances[0, 1, 2] = 1
    chances[1:, :, 3] = 1
    return Finite(chances, rewards, np.arange(4) == 3, _at(0, 4), limit)


def _at(state: int, size: int) -> np.ndarray:
    return np.eye(size)[state]
