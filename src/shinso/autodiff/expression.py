"""A formula that somebody typed, as a small tree which every kind of number can walk through.

The text is read by Python's own grammar (`ast`) and nothing of it is ever executed: numbers, names, + - * / **, and
calls of the functions below are turned into `Number`, `Name` and `Apply`; everything else is refused with its place.
One walker then evaluates the tree on floats, arrays, complex numbers, dual numbers, the nodes of both engines and
SymPy's symbols alike: what differs is only the algebra it is given (`shinso.autodiff.algebra`).
"""

import ast
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shinso.autodiff._spelling import CONSTANTS, DEEPEST, FUNCTIONS, SAME, in_plain_letters, look_over
from shinso.core.errors import UserError
from shinso.core.setup import nearest

LONGEST, MOST_NODES = 1000, 400
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}


@dataclass(frozen=True)
class Number:
    """A literal or one of the constants pi and e."""

    value: float
    text: str


@dataclass(frozen=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True)
class Apply:
    """An operation on one or more subtrees; the operations are + - * / ** neg and the keys of FUNCTIONS."""

    operation: str
    inputs: "tuple[Node, ...]"


Node = Number | Name | Apply


class Algebra(Protocol):
    """What a kind of number has to offer to be walked with."""

    def number(self, leaf: Number, /) -> Any: ...

    def apply(self, operation: str, inputs: list[Any], /) -> Any: ...


@dataclass(frozen=True)
class Expression:
    """A formula: its tree and the text it was read from."""

    tree: Node
    text: str

    @property
    def names(self) -> tuple[str, ...]:
        """The variables in the order in which they first stand in the formula."""
        return tuple(dict.fromkeys(node.name for node in nodes(self.tree) if isinstance(node, Name)))

    def __call__(self, values: Mapping[str, Any], algebra: Algebra | None = None) -> Any:
        """The formula at `values` (name -> number of any one kind); the algebra is that of the values unless given."""
        from shinso.autodiff.algebra import algebra_of

        values = self.complete(values)
        return walk(self.tree, values, algebra or algebra_of(values.values()))

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` in the order of `names`; a missing one or one that the formula lacks is a UserError."""
        for name in self.names:
            if name not in values:
                raise UserError(name, "this variable has no value", f"give one, like {name}=2")
        for name in values:
            if name not in self.names:
                cure = nearest(name, self.names) if self.names else "it has no variables"
                raise UserError(name, f"the formula {self.text} has no such variable", cure)
        return {name: values[name] for name in self.names}


def walk(node: Node, values: Mapping[str, Any], algebra: Algebra) -> Any:
    """The one walker: leaves from `values`, everything else from `algebra`."""
    if isinstance(node, Apply):
        return algebra.apply(node.operation, [walk(part, values, algebra) for part in node.inputs])
    return algebra.number(node) if isinstance(node, Number) else values[node.name]


def nodes(tree: Node) -> Iterator[Node]:
    """Every node of the tree, operands before the operations on them."""
    for part in tree.inputs if isinstance(tree, Apply) else ():
        yield from nodes(part)
    yield tree


def parse(text: str, where: str = "expression") -> Expression:
    """The tree of a formula; what cannot be read is one sentence with its place, counted in characters from 1."""
    if len(text) > LONGEST:
        raise UserError(where, f"it has {len(text)} characters", f"{LONGEST} are the most that are read")
    written = in_plain_letters(text, where)
    look_over(written, where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice about its own grammar
            body = ast.parse(written, mode="eval").body
        tree = _convert(body, where, DEEPEST)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise UserError(where, f"'{_short(written)}' is not a formula", "write one like exp(x*w)") from None
    if sum(1 for _ in nodes(tree)) > MOST_NODES:
        raise UserError(where, "it is too long", f"use at most {MOST_NODES} numbers, names and operations")
    _constants_stay_in_range(tree, where)
    return Expression(tree, " ".join(written.split()))


def write(node: Node) -> str:
    """The formula of a subtree, with the brackets it needs."""
    return _write(node)[0]


_TIGHT = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "**": 4}


def _write(node: Node) -> tuple[str, int]:
    if not isinstance(node, Apply):
        return (node.text, 5) if isinstance(node, Number) else (node.name, 5)
    mine = _TIGHT.get(node.operation)
    parts = [_write(part) for part in node.inputs]
    if mine is None:
        return f"{node.operation}({', '.join(text for text, _ in parts)})", 5
    if node.operation == "neg":
        return f"-{_bracketed(parts[0], 3)}", mine
    left, right = (mine + 1, mine - 1) if node.operation == "**" else (mine, mine + 1)
    sign = node.operation if node.operation in ("*", "/", "**") else f" {node.operation} "
    return f"{_bracketed(parts[0], left)}{sign}{_bracketed(parts[1], right)}", mine


def _bracketed(part: tuple[str, int], least: int) -> str:
    return part[0] if part[1] >= least else f"({part[0]})"


def _convert(node: ast.expr, where: str, depth: int) -> Node:
    if depth == 0:
        raise UserError(where, "it is nested too deeply", f"use at most {DEEPEST} levels")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _number(str(node.value), where)
    if isinstance(node, ast.Name):
        name = SAME.get(node.id, node.id)
        return Number(CONSTANTS[name], name) if name in CONSTANTS else Name(name)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = _convert(node.operand, where, depth - 1)
        return Apply("neg", (inner,)) if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return Apply(_OPERATORS[type(node.op)], tuple(_convert(n, where, depth - 1) for n in (node.left, node.right)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        name = SAME.get(node.func.id, node.func.id)
        least, most = FUNCTIONS[name]
        if not least <= len(node.args) <= most:
            many = f"{least} argument" if least == most else f"{least} to {most} arguments"
            raise UserError(f"{where}, character {node.col_offset + 1}", f"{name} has {len(node.args)} arguments",
                            f"give it {many}")
        return Apply(name, tuple(_convert(n, where, depth - 1) for n in node.args))
    raise UserError(f"{where}, character {node.col_offset + 1}", "this is not part of a formula",
                    "use numbers, names, + - * / ** and the functions " + ", ".join(FUNCTIONS))


def _number(text: str, where: str) -> Number:
    try:
        value = float(text)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise UserError(where, "this number is larger than any float", "use a smaller one")
    return Number(value, text)


def _constants_stay_in_range(tree: Node, where: str) -> None:
    """Refuses 9**9**9**9 before anybody writes it out: constant parts are worked out in floats, not in integers."""
    from shinso.autodiff.algebra import NUMBERS

    for node in nodes(tree):
        if isinstance(node, Apply) and not any(isinstance(part, Name) for part in nodes(node)):
            value = walk(node, {}, NUMBERS)
            if not math.isfinite(value) or abs(value) > 1e300 or 0 < abs(value) < 1e-300:
                raise UserError(where, f"{_short(write(node))} is not a number that floats can hold",
                                "use numbers between 1e-300 and 1e300")
            if value == 0 and node.operation in ("**", "exp"):
                raise UserError(where, f"{_short(write(node))} is smaller than any float", "write 0 if it is meant")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
