"""Catch: a ball falls slantwise through a frame of pixels, a paddle at the bottom must be under it.

The world hands out its last `frames` frames. One frame does not tell where the ball is going - it is not Markov -, two
do: this is why a player of pixels stacks frames. Each episode ends when the ball reaches the bottom row, with reward 1
if it was caught and -1 if not; a perfect player catches every ball.
"""

from typing import Any

import numpy as np

from shinso.core.errors import UserError


class Catch:
    """A square of `cells` x `cells` places, each drawn as a block of pixels into a frame of `size` x `size`.

    Actions: left, stay, right, one cell each. The ball moves one cell down and one or no cell aside, and bounces
    off the walls. Observation: uint8 (frames, size, size), 0 or 255, newest frame last.
    """

    num_actions = 3
    dtype = np.uint8

    def __init__(self, cells: int = 7, size: int = 21, frames: int = 2):
        if size < cells or size % cells:
            raise UserError("size", f"{size} is not a multiple of {cells}", f"give {3 * cells} or {12 * cells}")
        self.cells, self.block, self.shape = cells, size // cells, (frames, size, size)
        self.rng = np.random.default_rng(0)
        self.place = np.zeros(4, np.int64)
        """ball row, ball column, ball drift, paddle column"""
        self.stack = np.zeros(self.shape, np.uint8)

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        column, paddle = self.rng.integers(self.cells, size=2)
        self.place = np.array([0, column, self.rng.integers(-1, 2), paddle])
        self.stack = np.repeat(self._frame()[None], len(self.stack), axis=0)
        return self.stack, {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        row, column, drift, paddle = self.place
        if not 0 <= column + drift < self.cells:
            drift = -drift
        paddle = min(max(paddle + action - 1, 0), self.cells - 1)
        self.place = np.array([row + 1, column + drift, drift, paddle])
        self.stack = np.concatenate([self.stack[1:], self._frame()[None]])  # anew: no alias
        done = bool(row + 1 == self.cells - 1)
        reward = (1.0 if column + drift == paddle else -1.0) if done else 0.0
        return self.stack, reward, done, False, {}

    def get_state(self) -> dict[str, Any]:
        return {"place": self.place.copy(), "stack": self.stack.copy(), "rng": self.rng.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.place, self.stack = np.array(state["place"]), np.array(state["stack"])
        self.rng.bit_generator.state = state["rng"]

    def _frame(self) -> np.ndarray:
        frame = np.zeros(self.shape[1:], np.uint8)
        row, column, _, paddle = self.place * self.block
        frame[row : row + self.block, column : column + self.block] = 255
        frame[-self.block :, paddle : paddle + self.block] = 255
        return frame
