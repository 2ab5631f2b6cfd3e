"""What the contracts about programs share: one recorded course of every smoke variant."""

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from oracles import records
from torch import Tensor

from shinso.catalogue import index
from shinso.core.record import plain
from shinso.engine.program import Program
from shinso.engine.saving import snapshot

CARDS = sorted(index.cards())
PATHS = sorted(index.systems())
LONGEST = 40
"""steps of a course that contracts look at"""


@dataclass
class Course:
    """The first steps of a program, nobody looking on."""

    states: list[dict[str, Any]]
    """copies of what a checkpoint would hold before each step; the last belongs to the end"""
    rows: list[dict[str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """what its records have that no record may have"""
    seconds: float = 0.0
    """CPU time of its steps"""


def module(path: str) -> Any:
    return index.load(path)


def fresh(path: str, *, stray: int = 0, **changes: Any) -> Any:
    """The smoke variant, newly built; `stray` disturbs the global random stream that nobody may depend on."""
    torch.manual_seed(stray)
    system = module(path)
    return system.build(replace(system.VARIANTS["smoke"], **changes))


def length(program: Program) -> int:
    return min(program.total, LONGEST)


@lru_cache(maxsize=2)
def course(path: str) -> Course:
    """That of the smoke variant, computed once in a process as long as the contracts stand in its order."""
    return followed(fresh(path))


def followed(program: Program) -> Course:
    seen = Course([copy.deepcopy(snapshot(program, {}))])
    for i in range(length(program)):
        start = time.process_time()
        record = program.step(i)
        seen.seconds += time.process_time() - start
        seen.faults += [f"step {i}: {fault}" for fault in faults_of(record)]
        seen.rows.append(plain(record))
        seen.states.append(copy.deepcopy(snapshot(program, {})))
    return seen


def faults_of(record: Mapping[str, Any]) -> list[str]:
    """Why this is no record: scalars with names in lower case, finite, free of the graph that made them."""
    found = [] if record else ["it is empty"]
    for name, value in record.items():
        if not (isinstance(name, str) and name.isidentifier() and name == name.lower()):
            found.append(f"{name!r} is no name")
        if not (type(value) in (int, float) or (isinstance(value, Tensor) and value.ndim == 0)):
            found.append(f"{name} is no scalar but {type(value)}")
        elif isinstance(value, Tensor) and value.requires_grad:
            found.append(f"{name} drags its graph along")
        elif not math.isfinite(float(value)):
            found.append(f"{name} is {float(value)}")
    return found


def differ(program: Program, rows: list[dict[str, float]]) -> bool:
    """Whether a program's records are others than these; asked no further than to the first that is."""
    return any(records(program, i, i + 1) != [row] for i, row in enumerate(rows))


def spread(n: int, count: int) -> list[int]:
    """`count` of the numbers 0..n, evenly, both ends among them."""
    return sorted({round(k * n / (count - 1)) for k in range(count)})
