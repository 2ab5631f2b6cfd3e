"""One world as a learner meets it: seeded, with discrete actions, and saved and restored in the middle of an episode.

A world is anything with Gymnasium's `reset` and `step`. To be saved it offers `get_state` and `set_state`, as shinso's
own worlds do; for Gymnasium's classic control worlds the adapter knows where the state lies: the physical state, the
time limit's counter and the generator that draws the first state of every episode.
"""

from collections.abc import Callable
from typing import Any, final

import numpy as np

from shinso.core.errors import UserError
from shinso.core.setup import nearest

PLAIN_WRAPPERS = ("TimeLimit", "OrderEnforcing", "PassiveEnvChecker")
"""wrappers whose state is known here"""
OWN_STATE = ("state", "steps_beyond_terminated", "last_u")
"""what the classic control worlds remember beside their generator"""


@final
class World:
    """A Gymnasium-style environment of discrete actions with its seed and its state.

    Args: an environment and the seed of its first reset. Raises UserError when the actions are not discrete.
    """

    def __init__(self, env: Any, seed: int):
        self.env, self.seed, self.begun = env, seed, False
        if hasattr(env, "num_actions"):
            self.num_actions, self.shape, self.dtype = int(env.num_actions), tuple(env.shape), np.dtype(env.dtype)
            return
        if type(env.action_space).__name__ != "Discrete" or env.action_space.start != 0:
            raise UserError(_name(env), "its actions are not numbered from 0", "take a world with discrete actions")
        self.num_actions = int(env.action_space.n)
        self.shape, self.dtype = env.observation_space.shape, env.observation_space.dtype

    def reset(self) -> np.ndarray:
        """A new episode's first observation; only the first episode is seeded."""
        observation, _ = self.env.reset(seed=None if self.begun else self.seed)
        self.begun = True
        return observation

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool]:
        """(observation, reward, terminated, truncated): the end of the world, and the end of our patience."""
        observation, reward, terminated, truncated, _ = self.env.step(action)
        return observation, float(reward), terminated, truncated

    def state(self) -> dict[str, Any]:
        """Everything that the next observations depend on. Raises UserError where that cannot be known."""
        return {"begun": self.begun, "env": capture(self.env)}

    def restore(self, state: dict[str, Any]) -> None:
        self.begun = state["begun"]
        restore(self.env, state["env"])


def capture(env: Any) -> dict[str, Any]:
    """An environment's state as plain values and arrays."""
    if hasattr(env, "get_state"):
        return env.get_state()
    core = _classic(env)
    own = {name: _copied(getattr(core, name)) for name in OWN_STATE if hasattr(core, name)}
    wrappers = [(w._elapsed_steps if type(w).__name__ == "TimeLimit" else None) for w in _wrappers(env)]
    return {"own": own, "elapsed": wrappers, "rng": core.np_random.bit_generator.state}


def restore(env: Any, state: dict[str, Any]) -> None:
    """Puts an environment of the same kind where `capture` found the other; the next step continues its episode."""
    if hasattr(env, "set_state"):
        env.set_state(state)
        return
    core = _classic(env)
    env.reset(seed=0)  # so that the wrappers allow a step
    for name, value in state["own"].items():
        setattr(core, name, _copied(value))
    for wrapper, elapsed in zip(_wrappers(env), state["elapsed"], strict=True):
        if elapsed is not None:
            wrapper._elapsed_steps = elapsed
    core.np_random.bit_generator.state = state["rng"]


def gymnasium_world(name: str) -> Callable[[], Any]:
    """A maker of Gymnasium's environment `name`; its time limit is kept, its run-time checker is not.

    Raises UserError when Gymnasium is not installed or does not know the name.
    """
    try:
        import gymnasium
    except ImportError:
        raise UserError(name, "this world comes with Gymnasium, which is not installed",
                        "run: pip install 'shinso[rl]'") from None
    if name not in gymnasium.registry:
        raise UserError(name, "Gymnasium knows no such world", nearest(name, gymnasium.registry))

    def make() -> Any:
        try:
            return gymnasium.make(name, disable_env_checker=True)
        except (gymnasium.error.Error, ImportError) as reason:
            raise UserError(name, f"Gymnasium cannot make it ({reason})", "install what it names") from None

    return make


def _classic(env: Any) -> Any:
    core = env.unwrapped
    foreign = [type(w).__name__ for w in _wrappers(env) if type(w).__name__ not in PLAIN_WRAPPERS]
    if foreign or not type(core).__module__.startswith("gymnasium.envs.classic_control."):
        part = (*foreign, type(core).__name__)[0]
        raise UserError(_name(env), f"the state of {part} cannot be saved, so a run could not be resumed",
                        "give the environment get_state() and set_state(), or take a classic control world")
    return core


def _wrappers(env: Any) -> list[Any]:
    found = []
    while env is not env.unwrapped:
        found.append(env)
        env = env.env
    return found


def _name(env: Any) -> str:
    spec = getattr(env, "spec", None)
    return spec.id if spec is not None else type(env).__name__


def _copied(value: Any) -> Any:
    return np.array(value) if isinstance(value, (np.ndarray, tuple, list)) else value
