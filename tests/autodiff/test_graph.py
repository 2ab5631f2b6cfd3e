"""The graph that a program leaves: names, order, steps that end where backward ends, and drawings that can be read."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from shinso.autodiff import functions as F
from shinso.autodiff import graph as G
from shinso.autodiff._drawing import arrange
from shinso.autodiff.scalar import Value
from shinso.autodiff.tensor import Tensor
from shinso.core.errors import UserError


def leaf(*shape, seed=0, dtype=np.float64):
    return Tensor(np.random.default_rng(seed).normal(0, 0.3, shape).astype(dtype), requires_grad=True)


def mlp():
    names = {"x": Tensor(np.random.default_rng(9).normal(size=(8, 20)))}
    h = names["x"]
    for k, (n, m) in enumerate([(20, 10), (10, 6), (6, 3)], start=1):
        names[f"W{k}"], names[f"b{k}"] = leaf(n, m, seed=k), leaf(m, seed=10 + k)
        h = F.affine(h, names[f"W{k}"], names[f"b{k}"])
        h = F.relu(h) if k < 3 else h
    return F.cross_entropy(h, np.arange(8) % 3), names


def lenet():
    names = {}

    def p(name, *shape):
        names[name] = leaf(*shape, seed=len(names))
        return names[name]

    h = Tensor(np.random.default_rng(8).normal(size=(2, 1, 28, 28)))
    h = F.max_pool2d(F.relu(F.conv2d(h, p("K1", 6, 1, 5, 5), p("k1", 6), padding=2)), 2)
    h = F.max_pool2d(F.relu(F.conv2d(h, p("K2", 16, 6, 5, 5), p("k2", 16))), 2).reshape(2, 400)
    h = F.relu(F.affine(h, p("W1", 400, 120), p("b1", 120)))
    h = F.relu(F.affine(h, p("W2", 120, 84), p("b2", 84)))
    return F.cross_entropy(F.affine(h, p("W3", 84, 10), p("b3", 10)), np.array([3, 1])), names


def tangled():
    x, w = leaf(5, seed=1), leaf(5, seed=2)
    m = (x * w).sum()
    return (x * x + m * w).sum() / m + np.exp(w[1:3] * x[::-1][:2]).sum() + m**2.5, {"x": x, "w": w}


PROGRAMS = [mlp, lenet, tangled]


@pytest.mark.parametrize("program", PROGRAMS)
def test_after_the_last_step_the_gradients_are_those_of_backward(program):
    output, names = program()
    graph = G.graph_of(output, names)
    found = G.gradients(graph)
    output.backward()
    for name, tensor in names.items():
        if tensor.requires_grad:
            assert np.array_equal(found[graph.find(name).index], tensor.grad), name
        else:
            assert graph.find(name).index not in found


@pytest.mark.parametrize("program", PROGRAMS)
def test_forward_steps_give_the_values_in_topological_order(program):
    graph = G.graph_of(*program())
    for k, step in enumerate(G.forward(graph)):
        assert step.node.index == k and all(j < k for j in step.node.inputs)
        assert np.array_equal(step.value, step.node.value)
        assert len(step.locals) == len(step.node.inputs)


def test_float32_stays_float32():
    x = leaf(3, dtype=np.float32)
    y = (2.0 * x**3 / 0.7 + 1).sum()
    graph = G.graph_of(y, {"x": x})
    found = G.gradients(graph)
    y.backward()
    assert found[graph.find("x").index].dtype == np.float32
    assert np.array_equal(found[graph.find("x").index], x.grad)


def test_each_step_shows_the_gradient_so_far():
    x = Tensor(np.float64(3.0), requires_grad=True)
    square = x * x
    graph = G.graph_of(square * x, {"x": x})
    seen = [step.gradients.get(0) for step in G.backward(graph)]
    assert [float(g) for g in seen] == [9.0, 27.0, 27.0]


def test_local_derivatives_are_entries_or_jacobians():
    W, x = leaf(2, 3, seed=1), leaf(3, seed=2)
    graph = G.graph_of(np.tanh(W @ x).sum(), {"W": W, "x": x})
    total, tanh, product = graph.nodes[-1], graph.nodes[-2], graph.nodes[-3]
    assert np.allclose(G.local(graph, tanh, 0), 1 - tanh.value**2, rtol=1e-15)
    assert np.array_equal(G.local(graph, total, 0), np.ones(2))
    assert np.array_equal(G.local(graph, product, 1), W.data)
    by_weight = G.local(graph, product, 0)
    assert by_weight.shape == (2, 2, 3)
    assert np.array_equal(by_weight, np.einsum("ik,j->ikj", np.eye(2), x.data))


def test_a_large_jacobian_is_not_written_out():
    graph = G.graph_of(*mlp())
    assert any(step.locals and step.locals[0] is None for step in G.forward(graph))


def test_other_numbers_going_in_give_what_the_program_would_give():
    def program(x, w):
        return np.exp(x * w) * x + 3.0

    x, w = (Tensor(np.float64(v), requires_grad=True) for v in (2.0, 0.5))
    graph = G.graph_of(program(x, w), {"x": x, "w": w}).changed({"w": -0.25})
    again = Tensor(np.float64(-0.25), requires_grad=True)
    output = program(x, again)
    output.backward()
    assert graph.output.value == output.data
    assert G.gradients(graph)[graph.find("w").index] == again.grad
    with pytest.raises(UserError, match=r"did you mean 'w'|known: w, x"):
        graph.changed({"ww": 1.0})
    with pytest.raises(UserError, match="shape"):
        graph.changed({"w": [1.0, 2.0]})


def test_the_scalar_engine_is_walked_alike():
    x, w = Value(2.0), Value(0.5)
    y = ((x * w).exp() * x + 3.0) / (x - w).tanh() - x**3
    graph = G.graph_of(y, {"x": x, "w": w})
    found = G.gradients(graph)
    y.backward()
    for name, value in (("x", x), ("w", w)):
        assert float(found[graph.find(name).index]) == value.grad
    assert graph.nodes[2].name == "mul" and [n.name for n in graph.nodes[:2]] == ["x", "w"]
    with pytest.raises(UserError, match="keep their slopes"):
        graph.changed({"x": 1.0})


def test_a_result_of_many_numbers_needs_a_gradient_of_its_shape():
    x = leaf(3)
    graph = G.graph_of(np.exp(x), {"x": x})
    with pytest.raises(UserError, match=r"\(3,\)"):
        G.gradients(graph)
    assert np.array_equal(G.gradients(graph, [1.0, 0.0, 2.0])[0], np.exp(x.data) * [1, 0, 2])


def test_a_freed_graph_says_so():
    output, names = tangled()
    output.backward()
    with pytest.raises(UserError, match="freed"):
        G.graph_of(output, names)


def test_a_leaf_is_a_graph_of_one_node():
    x = leaf()
    graph = G.graph_of(x, {"x": x})
    assert [n.name for n in graph.nodes] == ["x"]
    assert "<svg" in G.svg(graph)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("direction", ["right", "down"])
def test_boxes_and_arrows_keep_out_of_each_others_way(program, direction):
    boxes = G._boxes(G.graph_of(*program()), {})
    picture = arrange(boxes, direction)
    frames = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
              for (x, y), (w, h) in zip(picture.middles, (box.size for box in boxes), strict=True)]  # fmt: skip
    for i, a in enumerate(frames):
        assert a[0] >= 0 and a[1] >= 0 and a[2] <= picture.width and a[3] <= picture.height
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in frames[:i])
    for arrow in picture.arrows:
        for x, y in curve(arrow.points):
            inside = [i for i, f in enumerate(frames)
                      if f[0] + 1 < x < f[2] - 1 and f[1] + 1 < y < f[3] - 1 and i not in arrow.ends]  # fmt: skip
            assert not inside, (arrow.ends, inside)


def curve(points):
    t = np.linspace(0, 1, 12)[:, None]
    for k in range(0, len(points) - 1, 3):
        a, b, c, d = np.array(points[k : k + 4])
        yield from (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_svg_is_well_formed_and_says_every_name(program):
    output, names = program()
    graph = G.graph_of(output, names)
    text = G.svg(graph, G.gradients(graph), highlight=0)
    root = ET.fromstring(text)
    words = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert all(node.name in words for node in graph.nodes if node.name in names or not node.given)
    assert text.count("cg-here\"") == 1
    arrows = sum(len(set(node.inputs)) for node in graph.nodes)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) == arrows


def test_names_are_escaped():
    x = leaf()
    graph = G.graph_of(np.exp(x), {'<script>"&\\': x})
    ET.fromstring(G.svg(graph))
    assert "<script>" not in G.svg(graph)
    assert '\\"&\\\\' in G.dot(graph)


def test_dot_has_every_node_and_arrow():
    graph = G.graph_of(*tangled())
    text = G.dot(graph, G.gradients(graph))
    assert text.startswith("digraph") and text.count(" -> ") == sum(len(node.inputs) for node in graph.nodes)
    assert text.count("[label=") == len(graph.nodes)
