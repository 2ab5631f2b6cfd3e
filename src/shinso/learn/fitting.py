"""Which choices of a family make the network that a file of weights is for, when those that were given do not.

Networks are built on no device, which takes no memory and little time: those of the family's variants first, and from
each the way of single choices on which fewer and fewer names and shapes differ.
"""

import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from math import inf
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import nn

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.data.examples import Description, save_description
from shinso.learn.foreign_weights import Foreign, misses

NEAREST = 3
"""setups from which others are tried"""
NOWHERE = Place(device="meta")
"""where a network is only looked at"""


class Built(Exception):
    """In place of a program, where only its network is wanted."""

    def __init__(self, network: nn.Module):
        self.network = network
        super().__init__("only the network was wanted")


def choices_that_fit(setup: Any, shared: type, foreign: Foreign, about: Description) -> str:
    """The options, as they are typed, with which the file would fit; "" where none were found.

    `shared` is the Setup that all families have: only what is the family's own is changed.
    """
    module = sys.modules[type(setup).__module__]
    build: Callable[..., object] | None = getattr(module, "build", None)
    if build is None:
        return ""
    own = [field.name for field in fields(setup) if field.name not in {f.name for f in fields(shared)}]
    with tempfile.TemporaryDirectory() as folder, torch.device("meta"):
        described = Path(folder) / "data.json"
        save_description(about, described)

        def off(candidate: Any) -> float:
            try:
                build(replace(candidate, data=f"described:{described}", weights=None, freeze=False), NOWHERE)
            except Built as built:
                return misses(built.network, foreign.state)
            except UserError:
                pass  # what cannot be built for these pictures
            return inf

        found = _descended(setup, own, [type(setup)(), *getattr(module, "VARIANTS", {}).values()], off)
    changed = [name for name in own if found is not None and getattr(found, name) != getattr(setup, name)]
    return " ".join(f"--{name.replace('_', '-')} {_typed(getattr(found, name))}" for name in changed)


def _descended(setup: Any, own: list[str], others: list[Any], off: Callable[[Any], float]) -> Any:
    """A setup with nothing off, or none."""
    starts: list[tuple[float, Any]] = []
    for other in others:
        start = replace(setup, **{name: getattr(other, name) for name in own})
        if start not in [known for _, known in starts]:
            starts.append((off(start), start))
    known = {name: _values(setup, name, [start for _, start in starts]) for name in own}
    for least, here in sorted(starts, key=lambda pair: pair[0])[:NEAREST]:
        while 0 < least < inf:
            near = [replace(here, **{name: value}) for name, values in known.items() for value in values]
            best = _best(near, least, off)
            if best is None:
                break
            least, here = best
        if least == 0:
            return here
    return None


def _best(setups: Iterable[Any], least: float, off: Callable[[Any], float]) -> tuple[float, Any] | None:
    """The one with the least off, if that is less than `least`; the first with nothing off."""
    found = None
    for setup in setups:
        new = off(setup)
        if new < least:
            least, found = new, (new, setup)
        if new == 0:
            break
    return found


def _values(setup: Any, name: str, others: list[Any]) -> list[Any]:
    """What a field may be where there are few choices, and what it is in the other setups."""
    hint = get_type_hints(type(setup))[name]
    few = get_args(hint) if get_origin(hint) is Literal else (False, True) if hint is bool else ()
    return list(dict.fromkeys([*few, *(getattr(other, name) for other in others)]))


def _typed(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
