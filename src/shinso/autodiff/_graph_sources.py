"""What the two engines recorded, in one form: given numbers and operations, inputs first."""

from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np

SHORT: dict[str, str] = {
    "multiply": "mul", "subtract": "sub", "divide": "div", "negative": "neg", "power_by": "pow", "power": "pow",
    "absolute": "abs", "*": "mul", "+": "add", "-": "sub", "/": "div", "**": "pow",
}  # fmt: skip
"""what is written in a box"""


class Operation(Protocol):
    """One step of a program: its value, and how a gradient passes back through it."""

    @property
    def name(self) -> str: ...

    def value(self, inputs: list[Any], /) -> Any: ...

    def pull(self, i: int, gradient: Any, value: Any, inputs: list[Any], /) -> Any: ...

    def local(self, i: int, value: Any, inputs: list[Any], /) -> Any: ...


@dataclass(frozen=True)
class Source:
    """A node before it has a place: known by the identity of what the engine made."""

    key: int
    value: np.ndarray
    inputs: tuple[int, ...]
    operation: Operation | None
    needs_gradient: bool


@final
@dataclass(frozen=True)
class RuleApplied:
    """A rule of the tensor engine with its parameters."""

    rule: Any
    params: tuple

    @property
    def name(self) -> str:
        return _short(self.rule.name)

    def value(self, inputs: list[Any], /) -> Any:
        return self.rule.f(*inputs, *self.params)

    def pull(self, i: int, gradient: Any, value: Any, inputs: list[Any], /) -> Any:
        return self.rule.pull(i, gradient, value, inputs, self.params)

    def local(self, i: int, value: Any, inputs: list[Any], /) -> Any:
        return self.rule.local(i, value, inputs, self.params)


@final
@dataclass(frozen=True)
class SlopesKept:
    """An operation of the scalar engine, which keeps its value and its slopes and not how they were found."""

    name: str
    kept: float
    slopes: tuple[float, ...]

    def value(self, inputs: list[Any], /) -> Any:
        return self.kept

    def pull(self, i: int, gradient: Any, value: Any, inputs: list[Any], /) -> Any:
        return gradient * self.slopes[i]

    def local(self, i: int, value: Any, inputs: list[Any], /) -> Any:
        return self.slopes[i]


def sources_behind(output: Any) -> list[Source]:
    """Everything that the number `output` was computed from, inputs before results, itself last."""
    return _behind_tensor(output) if hasattr(output, "rule") else _behind_value(output)


def _behind_tensor(output: Any) -> list[Source]:
    found: dict[int, Source] = {}
    for t in output.graph() or [output]:
        keys = []
        for x in t.inputs:
            key = id(x) if hasattr(x, "rule") else -1 - len(found)  # a plain number belongs to its operation
            if key not in found:
                found[key] = Source(key, _plain(x, t), (), None, bool(getattr(x, "requires_grad", False)))
            keys.append(key)
        made = RuleApplied(t.rule, t.params) if t.rule is not None else None
        found[id(t)] = Source(id(t), np.asarray(t.data), tuple(keys), made, bool(t.requires_grad))
    return list(found.values())


def _behind_value(output: Any) -> list[Source]:
    found = []
    for v in output.graph():
        slopes = tuple(float(slope) for slope in v.slopes)
        made = SlopesKept(_short(v.op), float(v.data), slopes) if v.op else None
        found.append(Source(id(v), np.asarray(float(v.data)), tuple(map(id, v.inputs)), made, True))
    return found


def _short(name: str) -> str:
    return SHORT.get(name, name)


def _plain(x: Any, user: Any) -> np.ndarray:
    """The array of a leaf; a Python number takes the number format of the operation, as NumPy lets it."""
    if isinstance(x, (int, float)):
        return np.asarray(x, dtype=user.data.dtype if user.data.dtype.kind == "f" else None)
    return np.asarray(x.data if hasattr(x, "rule") else x)
