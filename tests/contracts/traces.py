"""What the contracts about programs share: one recorded course of every smoke variant."""

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from oracles import records

from shinso.catalogue import index
from shinso.engine.program import Program
from shinso.engine.saving import snapshot

CARDS = sorted(index.cards())
PATHS = sorted(index.systems())
LONGEST = 40
"""steps of a course that contracts look at"""


def module(path: str) -> Any:
    return index.load(path)


def fresh(path: str, *, stray: int = 0, **changes: Any) -> Any:
    """The smoke variant, newly built; `stray` disturbs the global random stream that nobody may depend on."""
    torch.manual_seed(stray)
    system = module(path)
    return system.build(replace(system.VARIANTS["smoke"], **changes))


def length(program: Program) -> int:
    return min(program.total, LONGEST)


@cache
def course(path: str) -> tuple[list[dict[str, float]], list[dict[str, Any]]]:
    """The records of the smoke variant's first steps, and copies of what a checkpoint would hold before each of them.

    The last state belongs to the end.
    """
    program = fresh(path)
    rows, states = [], [copy.deepcopy(snapshot(program, {}))]
    for i in range(length(program)):
        rows += records(program, i, i + 1)
        states.append(copy.deepcopy(snapshot(program, {})))
    return rows, states


def spread(n: int, count: int) -> list[int]:
    """`count` of the numbers 0..n, evenly, both ends among them."""
    return sorted({round(k * n / (count - 1)) for k in range(count)})
