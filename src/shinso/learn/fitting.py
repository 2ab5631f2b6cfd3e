"""Which choices of a family make the network that a file of weights is for, when those that were given do not.

Networks are built on no device, which takes no memory and little time: those of the family's variants first, and from
each the way of single choices on which fewer and fewer names and shapes differ.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
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
            return float("inf")

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
    for least, start in sorted(starts, key=lambda pair: pair[0])[:NEAREST]:
        here = start
        while least:
            tried = [(off(near), near) for near in _near(here, own)]
            best, near = min(tried, key=lambda pair: pair[0], default=(least, here))
            if best >= least:
                break
            least, here = best, near
        if not least:
            return here
    return None


def _near(setup: Any, own: list[str]) -> Iterator[Any]:
    """Setups with one other choice where there are few to choose from."""
    hints = get_type_hints(type(setup))
    for name in own:
        hint = hints[name]
        values = get_args(hint) if get_origin(hint) is Literal else (False, True) if hint is bool else ()
        yield from (replace(setup, **{name: value}) for value in values if value != getattr(setup, name))


def _typed(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
