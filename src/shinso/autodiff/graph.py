r"""The computation graph: what a program did, as nodes that can be drawn and walked step by step.

Running a program y = f(x, w) leaves a graph behind: a node for every number that went in and every operation, in the
order of the program. For f = exp(xw):

    forward    v_1 = x,  v_2 = w,  v_3 = v_1 v_2,  v_4 = exp(v_3)                                        (1)
    backward   b_4 = 1,  b_3 = b_4 dv_4/dv_3,  b_2 = b_3 dv_3/dv_2,  b_1 = b_3 dv_3/dv_1                 (2)

where b_i is dy/dv_i. The only rule backwards is: each node hands to each of its inputs its own gradient times the
local derivative, and whoever is used more than once adds up what it is handed,

    b_i = sum over the nodes j that use i of b_j dv_j/dv_i                                               (3)

The surprise is how little a node has to know: its inputs, and the derivative of one operation.

Wengert 1964; Linnainmaa 1970. The drawing is layered after Sugiyama, Tagawa, Toda 1981.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from shinso.autodiff import _drawing
from shinso.autodiff._drawing import Box, Direction, Role
from shinso.autodiff._graph_walk import (
    Array,
    BackwardStep,
    ForwardStep,
    Graph,
    Node,
    backward,
    forward,
    gradients,
    graph_of,
    local,
    number,
)
from shinso.core.card import Card, Check, at_least, exactly

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BackwardStep", "ForwardStep", "Graph", "Node", "backward", "dot", "draw", "extent", "forward", "gradients",
           "graph_of", "local", "number", "svg"]  # fmt: skip

def dot(graph: Graph, known: Mapping[int, Array] | None = None) -> str:
    """The graph in Graphviz's language; `known` are gradients by node, as a step gives them."""
    lines = ["digraph computation {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="monospace"];']
    for node, box in zip(graph.nodes, _boxes(graph, known or {}), strict=True):
        text = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in (box.title, *box.lines))
        lines.append(f'  n{node.index} [label="{text}"];')
        lines += [f"  n{j} -> n{node.index};" for j in node.inputs]
    return "\n".join([*lines, "}"]) + "\n"


def svg(graph: Graph, known: Mapping[int, Array] | None = None, *, highlight: int | None = None,
        direction: Direction = "right") -> str:
    """The graph as a picture for a page: names, values or shapes, and the gradients that are `known` so far.

    `highlight` is the index of the node that a step is at.
    """
    picture = _drawing.arrange(_boxes(graph, known or {}), direction)
    return _drawing.as_svg(picture, highlight, f"computation graph of {len(graph.nodes)} nodes")


def draw(axes: "Axes", graph: Graph, known: Mapping[int, Array] | None = None, *, highlight: int | None = None,
         direction: Direction = "right") -> None:
    """The same picture on matplotlib's axes."""
    _drawing.draw_on(axes, _drawing.arrange(_boxes(graph, known or {}), direction), highlight)


def extent(graph: Graph, known: Mapping[int, Array] | None = None, *, direction: Direction = "right",
           ) -> tuple[float, float]:
    """Width and height of the picture in its own units, one of which is a pixel of the SVG."""
    picture = _drawing.arrange(_boxes(graph, known or {}), direction)
    return picture.width, picture.height


def _boxes(graph: Graph, known: Mapping[int, Array]) -> list[Box]:
    boxes = []
    for node in graph.nodes:
        role: Role = "output" if node.index == graph.output.index else "operation"
        if node.given:
            role = "parameter" if node.needs_gradient else "input"
        shown = _shown(node.value)
        if node.name == shown:  # a number of the formula
            role, lines = "input", ()
        else:
            lines = (shown,)
        if node.index in known:
            gradient = known[node.index]
            size = f"‖{number(np.linalg.norm(gradient))}‖" if gradient.size > 3 else _shown(gradient)
            lines += (f"grad {size}",)
        boxes.append(Box(node.name, lines, role, node.inputs, tuple(_label(graph, node, i) for i in _of(node.inputs))))
    return boxes


def _label(graph: Graph, node: Node, i: int) -> str:
    """The local derivative on the arrow, where all that meets there is one number each."""
    source = graph.nodes[node.inputs[i]]
    if node.value.ndim or source.value.ndim or not source.needs_gradient:
        return ""
    derivative = local(graph, node, i)
    return "" if derivative is None else f"∂ {number(derivative)}"


def _of(values: tuple[Any, ...]) -> range:
    return range(len(values))


def _shown(value: Array) -> str:
    if value.ndim == 0:
        return number(value)
    if value.ndim == 1 and value.size <= 3:
        return "[" + ", ".join(number(v) for v in value) + "]"
    return "×".join(map(str, value.shape))


def _example() -> tuple[Any, dict[str, Any]]:
    from shinso.autodiff.tensor import Tensor

    x, w = Tensor(np.float64(2.0), requires_grad=True), Tensor(np.float64(0.5), requires_grad=True)
    return np.exp(x * w), {"x": x, "w": w}


def _random_program(seed: int, size: int = 40) -> tuple[Any, dict[str, Any]]:
    """Operations drawn at random on numbers and small arrays, each on results of before, summed up at the end."""
    from shinso.autodiff.tensor import Tensor

    rng = np.random.default_rng(seed)
    leaves = {f"p{k}": Tensor(rng.normal(size=shape), requires_grad=True) for k, shape in enumerate([(), (3,), (2, 3)])}
    made: list[Any] = list(leaves.values())
    for _ in range(size):
        a, b = (made[int(k)] for k in rng.integers(0, len(made), 2))
        made.append([lambda a, b: a + b, lambda a, b: a * b, lambda a, b: np.tanh(a) - b,
                     lambda a, b: np.sin(a) / (2.0 + np.cos(b))][int(rng.integers(4))](a, b))  # fmt: skip
    total: Any = 0.0
    for each in made:
        total = total + np.tanh(each).sum()
    return total, leaves


def exp_of_a_product_has_two_operations() -> Check:
    """The graph of exp(xw) has the nodes x, w, mul and exp, in this order, and no others: 4 nodes that agree.

    Source: the course's example; equation (1)
    """
    output, names = _example()
    found = [node.name for node in graph_of(output, names).nodes]
    return exactly(sum(a == b for a, b in zip(found, ["x", "w", "mul", "exp"], strict=True)), 4)


def inputs_stand_before_results() -> Check:
    """In 20 random programs of some hundred nodes no node stands before one of its inputs: 0 of thousands of arrows.

    Source: the definition of a topological order
    """
    graphs = [graph_of(*_random_program(seed)) for seed in range(20)]
    return exactly(sum(j >= node.index for graph in graphs for node in graph.nodes for j in node.inputs), 0)


def a_value_used_twice_accumulates() -> Check:
    """For x x at x = 3 the node hands 3 and 3 to the same input, whose gradient becomes 6.

    Source: equation (3)
    """
    from shinso.autodiff.tensor import Tensor

    x = Tensor(np.float64(3.0), requires_grad=True)
    first = next(iter(backward(graph_of(x * x, {"x": x}))))
    handed = sum(float(part) for part in first.handed if part is not None)
    return exactly(float(first.gradients[0]) + handed, 12)


def the_last_step_is_backward() -> Check:
    """After the last step the gradients are those of `.backward()`, to the last bit, for 20 random programs.

    Source: both apply (3) in the same order
    """
    worst = 0.0
    for seed in range(20):
        output, leaves = _random_program(seed)
        graph = graph_of(output, leaves)
        found = gradients(graph)
        output.backward()
        worst = max(worst, *(float(np.abs(found[graph.find(name).index] - leaf.grad).max())
                             for name, leaf in leaves.items()))  # fmt: skip
    return exactly(worst, 0)


def walking_forward_finds_the_same_values() -> Check:
    """Each node computed again from its inputs has the value that the program had: 0 difference in 20 random programs.

    Source: equation (1)
    """
    steps = [step for seed in range(20) for step in forward(graph_of(*_random_program(seed)))]
    return exactly(max(float(np.abs(step.value - step.node.value).max()) for step in steps), 0)


def every_node_is_walked_once() -> Check:
    """A pass backwards visits every node that the result depends on once, whatever the number of inputs: surplus 0.

    Source: equation (2)
    """
    graph = graph_of(*_random_program(0))
    return exactly(sum(1 for _ in backward(graph)) - sum(node.needs_gradient for node in graph.nodes), 0)


def no_two_boxes_overlap() -> Check:
    """In the drawings of 5 random programs, to the right and downwards, no two boxes overlap.

    Source: the layout keeps the order and the gaps
    """
    overlaps = 0
    for seed in range(5):
        boxes = _boxes(graph_of(*_random_program(seed, 12)), {})
        for direction in ("right", "down"):
            picture = _drawing.arrange(boxes, direction)
            frames = [(x, y, *box.size) for (x, y), box in zip(picture.middles, boxes, strict=True)]
            overlaps += sum(abs(a[0] - b[0]) < (a[2] + b[2]) / 2 and abs(a[1] - b[1]) < (a[3] + b[3]) / 2
                            for i, a in enumerate(frames) for b in frames[:i])  # fmt: skip
    return exactly(overlaps, 0)


def xw_and_wx_are_the_same_for_numbers_only() -> Check:
    """With matrices x and w, the gradient by w of the sum of exp(wx) differs from that of exp(xw) by more than half.

    Source: the slide's function has xw, its derivative wx; relative to the right one
    """
    from shinso.autodiff.tensor import Tensor

    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(3, 3)))
    found = []
    for slide in (False, True):
        w = Tensor(np.random.default_rng(1).normal(size=(3, 3)), requires_grad=True)
        np.exp(w @ x if slide else x @ w).sum().backward()
        found.append(w.grad)
    return at_least(float(np.linalg.norm(found[1] - found[0]) / np.linalg.norm(found[0])), 0.5)


CARD = Card(
    name="Computation graph",
    name_ja="計算グラフ",
    paper="Wengert 1964, A simple automatic derivative evaluation program, CACM 7; Linnainmaa 1970",
    equations=(
        r"v_1 = x,\quad v_2 = w,\quad v_3 = v_1 v_2,\quad v_4 = \exp(v_3)",
        r"\bar v_4 = 1,\quad \bar v_3 = \bar v_4 \frac{\partial v_4}{\partial v_3},"
        r"\quad \bar v_2 = \bar v_3 \frac{\partial v_3}{\partial v_2}",
        r"\bar v_i = \sum_j \bar v_j \frac{\partial v_j}{\partial v_i}",
    ),
    summary="What a program did, node by node: it can be drawn, and walked forwards and backwards number by number.",
    summary_ja="プログラムが行った計算をノードごとに表したもの。図に描け、順方向にも逆方向にも数を一つずつ追える。",
    topics=("autodiff.computation-graph",),
    facts=(
        exp_of_a_product_has_two_operations,
        inputs_stand_before_results,
        a_value_used_twice_accumulates,
        the_last_step_is_backward,
        walking_forward_finds_the_same_values,
        every_node_is_walked_once,
        no_two_boxes_overlap,
        xw_and_wx_are_the_same_for_numbers_only,
    ),
    notes=("The slide writes xw in the function and wx in its derivative: that is the same for scalars only.",),
    notes_ja=("スライドでは関数が xw、その微分が wx と書かれている。同じになるのはスカラーのときだけである。",),
)
