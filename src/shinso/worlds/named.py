"""Worlds by name: shinso's own, then Gymnasium's."""

from collections.abc import Callable
from functools import partial
from typing import Any

from shinso.worlds.catch import Catch
from shinso.worlds.finite import corridor, identity, temptation, two_state
from shinso.worlds.gym import gymnasium_world


def world_maker(name: str, size: int, frames: int) -> Callable[[], Any]:
    """A maker of fresh worlds; `size` and `frames` are for `catch`. Raises UserError for an unknown name."""
    own = {"corridor": corridor, "identity": identity, "two-state": two_state, "temptation": temptation,
           "catch": partial(Catch, size=size, frames=frames)}
    return own[name] if name in own else gymnasium_world(name)
