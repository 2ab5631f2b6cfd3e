"""Nodes in the order of the program, and the walks over them; equations (1) to (3) are those of `graph.py`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shinso.autodiff._graph_sources import Operation, SlopesKept, Source, sources_behind
from shinso.core.errors import UserError
from shinso.core.setup import nearest

Array = NDArray[Any]
LARGEST = 4096
"""entries of a Jacobian that a step still writes out"""


@dataclass(frozen=True)
class Node:
    """One number or array: given (no operation) or computed from the nodes in `inputs`."""

    index: int
    name: str
    """the given name, or that of the operation"""
    value: Array
    inputs: tuple[int, ...]
    operation: Operation | None
    needs_gradient: bool

    @property
    def given(self) -> bool:
        return self.operation is None


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, inputs before what was computed from them; the last one is the result."""

    nodes: tuple[Node, ...]

    @property
    def output(self) -> Node:
        return self.nodes[-1]

    def find(self, name: str) -> Node:
        """The given node of this name."""
        for node in self.nodes:
            if node.given and node.name == name:
                return node
        known = [node.name for node in self.nodes if node.given]
        raise UserError(name, "the graph has no input of this name", nearest(name, known))

    def changed(self, values: Mapping[str, Any]) -> "Graph":
        """The same program with other numbers going in: every value behind them is computed again by (1)."""
        if any(isinstance(node.operation, SlopesKept) for node in self.nodes):
            raise UserError("graph", "Values keep their slopes, not their formulas",
                            "run the program again, or use Tensors")
        new = {self.find(name).index: value for name, value in values.items()}
        nodes: list[Node] = []
        for node in self.nodes:
            if node.operation is not None:
                value = node.operation.value([nodes[j].value for j in node.inputs])
            else:
                value = np.asarray(new.get(node.index, node.value), dtype=node.value.dtype)
                if value.shape != node.value.shape:
                    raise UserError(node.name, f"its shape is {node.value.shape}, not {value.shape}", "keep the shape")
            nodes.append(replace(node, value=np.asarray(value)))
        return Graph(tuple(nodes))


def graph_of(output: Any, names: Mapping[str, Any] | None = None) -> Graph:
    """The graph behind a Tensor or a Value, before it is freed by `backward`; `names` gives names to what went in.

    What has no name is called p1, p2 ... where it needs a gradient, else c1, c2 ..., a plain number by itself.
    """
    found: list[Source] = sources_behind(output)
    said = {id(thing): name for name, thing in (names or {}).items()}
    place = {one.key: i for i, one in enumerate(found)}
    scalars = hasattr(output, "slopes")  # there a constant is a node like any other
    nodes, count = [], {"p": 0, "c": 0}
    for i, one in enumerate(found):
        name = said.get(one.key, one.operation.name if one.operation else "")
        if not name and one.value.ndim == 0 and (scalars or not one.needs_gradient):
            name = number(one.value)
        elif not name:
            letter = "p" if one.needs_gradient else "c"
            count[letter] += 1
            name = f"{letter}{count[letter]}"
        inputs = tuple(place[key] for key in one.inputs)
        nodes.append(Node(i, name, one.value, inputs, one.operation, one.needs_gradient))
    return Graph(tuple(nodes))


@dataclass(frozen=True)
class ForwardStep:
    """A node's value, found from the values of its inputs."""

    node: Node
    value: Array
    inputs: tuple[Array, ...]
    locals: tuple[Array | None, ...]
    """the derivative by each input (see `local`)"""


@dataclass(frozen=True)
class BackwardStep:
    """A node hands its gradient on: to each input, times the local derivative."""

    node: Node
    gradient: Array
    """dy/d(this node), complete"""
    locals: tuple[Array | None, ...]
    handed: tuple[Array | None, ...]
    """what each input receives from this node; None where no gradient is needed"""
    gradients: dict[int, Array]
    """the gradient of every node so far, this step included, by index"""


def forward(graph: Graph) -> Iterator[ForwardStep]:
    """(1), one node at a time, each computed again from its inputs."""
    values: list[Array] = []
    for node in graph.nodes:
        inputs = tuple(values[j] for j in node.inputs)
        values.append(np.asarray(node.operation.value(list(inputs))) if node.operation else node.value)
        yield ForwardStep(node, values[-1], inputs, _locals(graph, node))


def backward(graph: Graph, gradient: Any = None) -> Iterator[BackwardStep]:
    """(2), one node at a time from the result on; after the last step `gradients` is what `.backward()` leaves.

    `gradient` is the one with respect to the result: 1 unless given.
    """
    output = graph.output
    if gradient is None and output.value.size != 1:
        raise UserError("backward", f"the result has the shape {output.value.shape}", "give the gradient for it")
    start = np.ones_like(output.value) if gradient is None else np.asarray(gradient, dtype=output.value.dtype)
    gradients: dict[int, Array] = {output.index: start}
    for node in reversed(graph.nodes):
        if node.index not in gradients:
            continue
        handed: list[Array | None] = []
        for i, j in enumerate(node.inputs):
            part = None
            if node.operation is not None and graph.nodes[j].needs_gradient:
                values = [graph.nodes[k].value for k in node.inputs]
                part = node.operation.pull(i, gradients[node.index], node.value, values)
            if part is not None:
                part = np.array(part, dtype=graph.nodes[j].value.dtype)
                gradients[j] = np.asarray(gradients[j] + part) if j in gradients else part  # (3)
            handed.append(part)
        yield BackwardStep(node, gradients[node.index], _locals(graph, node), tuple(handed), dict(gradients))


def gradients(graph: Graph, gradient: Any = None) -> dict[int, Array]:
    """What the last step of `backward` says: the gradient of every node that has one."""
    found: dict[int, Array] = {}
    for step in backward(graph, gradient):
        found = step.gradients
    return found


def local(graph: Graph, node: Node, i: int) -> Array | None:
    """d(node)/d(its input i): entry by entry, in the node's shape, for an elementwise operation.

    Else the Jacobian of shape (*node, *input), or None where it has more than LARGEST entries.
    """
    if node.operation is None:
        return None
    values = [graph.nodes[k].value for k in node.inputs]
    entrywise = node.operation.local(i, node.value, values)
    if entrywise is not None:
        return np.asarray(entrywise)
    source = values[i]
    if node.value.size * source.size > LARGEST or source.dtype.kind != "f":
        return None
    rows = []
    for k in range(node.value.size):
        unit = np.zeros_like(node.value)
        unit.flat[k] = 1
        row = node.operation.pull(i, unit, node.value, values)
        rows.append(np.zeros_like(source) if row is None else np.asarray(row))
    return np.array(rows).reshape(node.value.shape + source.shape)


def _locals(graph: Graph, node: Node) -> tuple[Array | None, ...]:
    return tuple(local(graph, node, i) for i in range(len(node.inputs)))


def number(value: Any) -> str:
    """Four digits, as they stand in a box."""
    return f"{float(value):.4g}"
