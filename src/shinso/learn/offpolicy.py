"""One step is a few moves in a world and a few updates from memory.

The moves of a step are all made by the same policy, epsilon-greedy over the learner's choice; then the learner is
handed `updates` minibatches at once. A step of several moves costs less than as many steps: weights are looked up
once, targets are computed once. `total` is therefore the budget of moves divided by the moves of a step.

    epsilon(n) = from 1 straight down to `epsilon` at move `anneal`, then constant                        (1)

The end of a world (terminated) and the end of our patience (truncated) both start a new episode, but only the first
is remembered as an end: beyond a time limit there is still value. Source: Pardo et al. 2018 (1712.00378).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, final

import numpy as np
import torch
from torch import Tensor, nn

from shinso.core.record import Record
from shinso.core.seed import derive
from shinso.learn.replay import Moves, Ring
from shinso.worlds.gym import World

Greedy = Callable[[np.ndarray], np.ndarray]
"""observations (n, *shape) -> the best known actions (n,)"""


class Learner(Protocol):
    """What an algorithm brings: how it chooses, and how it learns from remembered moves."""

    measures: tuple[str, ...]
    """names of what `learn` reports; all are 0 in the records while the memory still fills"""

    def learn(self, moves: Moves, updates: int) -> dict[str, Tensor | float]:
        """`updates` updates, each from its share of `moves`; named means over them."""
        ...

    def networks(self) -> dict[str, nn.Module]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...
    def weights(self) -> dict[str, Tensor]:
        """What decides the choice: kept when it is the best so far."""
        ...

    def chosen_by(self, weights: dict[str, Tensor]) -> Greedy:
        """The choice that these weights make; it need not follow later updates."""
        ...


L = TypeVar("L", bound=Learner)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much of everything."""

    budget: int
    """moves in all"""
    moves: int
    """moves in one step"""
    updates: int
    """updates in one step, once learning has begun"""
    batch_size: int
    capacity: int
    """moves the memory holds"""
    warmup: int
    """moves before learning begins"""
    epsilon: float
    anneal: int
    """moves over which epsilon falls from 1"""
    rhythm: int
    """moves between two validations"""
    episodes: tuple[int, int]
    """episodes of a validation, and of the test"""
    seed: int
    clip: Callable[[float], float]
    """what the memory is told instead of a reward; returns are counted from the true rewards"""


@final
class OffPolicy(Generic[L]):
    """A world, a memory and a learner; the best network of all validations is what the test judges."""

    def __init__(self, learner: L, make: Callable[[], Any], plan: Plan, device: str,
                 draw: Callable[["OffPolicy[Any]"], dict[str, np.ndarray]]):
        self.learner, self.make, self.plan, self.device, self.draw = learner, make, plan, device, draw
        self.total = max(1, plan.budget // plan.moves)
        self.rhythm = max(1, plan.rhythm // plan.moves)
        self.world = World(make(), derive(plan.seed, "world"))
        self.memory = Ring(plan.capacity, self.world.shape, self.world.dtype)
        self.rng = np.random.default_rng(derive(plan.seed, "offpolicy"))
        self.seen = self.world.reset()
        self.moves, self.episodes, self.running, self.last = 0, 0, 0.0, 0.0
        self.best: dict[str, Any] | None = None

    def step(self, i: int) -> Record:
        """Before learning begins the learner's values are 0, and `return_last` is 0 until an episode has ended."""
        plan = self.plan
        self._move(plan.moves)
        learned: dict[str, Any] = dict.fromkeys(self.learner.measures, 0.0)
        if self.moves >= plan.warmup:
            moves = self.memory.sample(self.rng, plan.updates * plan.batch_size, self.device)
            learned = self.learner.learn(moves, plan.updates)
        return {**learned, "return_last": self.last, "epsilon": self.epsilon(), "episodes": float(self.episodes),
                "moves": float(self.moves)}

    def epsilon(self) -> float:
        """Equation (1) at the present move."""
        return max(self.plan.epsilon, 1 - (1 - self.plan.epsilon) * self.moves / max(1, self.plan.anneal))

    def _move(self, count: int) -> None:
        greedy = self.learner.chosen_by(self.learner.weights())
        world, memory, clip = self.world, self.memory, self.plan.clip
        coins, dice = self.rng.random(count).tolist(), self.rng.integers(world.num_actions, size=count).tolist()
        for coin, die in zip(coins, dice, strict=True):
            action = die if coin < self.epsilon() else int(greedy(self.seen[None])[0])
            then, reward, terminated, truncated = world.step(action)
            memory.add(self.seen, action, clip(reward), then, terminated=terminated)
            self.seen = then
            self.moves += 1
            self.running += reward
            if terminated or truncated:
                self.last, self.running, self.episodes = self.running, 0.0, self.episodes + 1
                self.seen = world.reset()

    def evaluate(self, split: str) -> Record:
        """Greedy episodes in worlds of their own, true rewards; `test` judges the best network of the validations."""
        count = self.plan.episodes[split == "test"]
        worlds = [World(self.make(), derive(self.plan.seed, f"{split}/{k}")) for k in range(count)]
        weights = self.best["weights"] if self.best and split == "test" else self.learner.weights()
        returns = play(worlds, self.learner.chosen_by(weights))
        mean = float(np.mean(returns))
        if split == "validation" and (self.best is None or mean >= self.best["return_mean"]):
            kept = {name: value.clone() for name, value in weights.items()}
            self.best = {"return_mean": mean, "moves": self.moves, "weights": kept}
        return {"return_mean": mean, "return_least": float(np.min(returns))}

    def state(self) -> dict[str, Any]:
        return {"learner": self.learner.state(), "memory": self.memory.state(), "world": self.world.state(),
                "rng": self.rng.bit_generator.state, "seen": self.seen, "moves": self.moves, "best": self.best,
                "episodes": self.episodes, "running": self.running, "last": self.last}

    def restore(self, state: dict[str, Any]) -> None:
        self.learner.restore(state["learner"])
        self.memory.restore(state["memory"])
        self.world.restore(state["world"])
        self.rng.bit_generator.state = state["rng"]
        self.seen = np.array(state["seen"])
        self.moves, self.episodes = state["moves"], state["episodes"]
        self.running, self.last = state["running"], state["last"]
        self.best = state["best"]
        if self.best is not None:
            weights = {name: value.to(self.device) for name, value in self.best["weights"].items()}
            self.best = {**self.best, "weights": weights}

    def pictures(self) -> dict[str, np.ndarray]:
        return self.draw(self)

    def networks(self) -> dict[str, nn.Module]:
        return self.learner.networks()

    def example(self) -> dict[str, Tensor]:
        seen = torch.from_numpy(np.stack([self.seen, self.seen])).to(self.device)
        return {name: seen for name in self.networks()}


def play(worlds: Sequence[World], greedy: Greedy, longest: int = 10_000) -> list[float]:
    """One episode in each world, all at once, with one look at the network per round; the sums of true rewards."""
    seen, returns = [world.reset() for world in worlds], [0.0] * len(worlds)
    playing = list(range(len(worlds)))
    for _ in range(longest):
        if not playing:
            break
        actions = greedy(np.stack([seen[k] for k in playing])).tolist()
        still = []
        for k, action in zip(playing, actions, strict=True):
            seen[k], reward, terminated, truncated = worlds[k].step(action)
            returns[k] += reward
            if not (terminated or truncated):
                still.append(k)
        playing = still
    return returns
