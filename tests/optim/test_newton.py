"""Newton's method equals its reference in NumPy, plain, damped and saddle-free, and keeps torch's contract."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from landscapes import (
    a_weight_without_gradient_stays,
    climbs,
    closure_of,
    goes_on_exactly,
    keeps_its_house,
    refuses,
    steps_down_the_valley,
)

from shinso.optim.newton import Newton


def slope(x):
    return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])


def bends(x):
    return np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200.0]])


def by_hand(x, lr=1.0, damping=0.0, saddle_free=False):
    """w - lr (H + damping)^-1 g, with sqrt(H H) in place of H if saddle_free: equations (1), (3), (4)."""
    h = bends(x)
    if saddle_free:
        values, vectors = np.linalg.eigh(h @ h)
        h = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    return x - lr * np.linalg.solve(h + damping * np.eye(2), slope(x))


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.5}, {"damping": 10.0}, {"saddle_free": True}, {"lr": 0.3, "damping": 1.0, "saddle_free": True},
])
@pytest.mark.parametrize("start", [(-1.2, 1.0), (0.5, 2.0)])
def test_three_hundred_steps_equal_the_reference(options, start):
    x, w = np.array(start), torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = Newton([w], **options)
    closure = closure_of(optimiser, lambda: 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2, graph=True)
    for _ in range(300):
        x = by_hand(x, **options)
        optimiser.step(closure)
        np.testing.assert_allclose(w.detach().numpy(), x, rtol=1e-9, atol=1e-12)


def test_the_hessian_of_several_weights_is_one_matrix():
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.0, [2.0, -1.0]))
    optimiser = Newton([a, b])
    optimiser.step(closure_of(optimiser, lambda: (a * b).sum() ** 2 + a**2 + (b - 3).square().sum(), graph=True))
    w = np.array([1.0, 2.0, -1.0])
    s = w[1] + w[2]  # f = (a s)^2 + a^2 + |b - 3|^2
    g = np.array([2 * w[0] * s**2 + 2 * w[0], *(2 * w[0] ** 2 * s + 2 * (w[1:] - 3))])
    mixed = 4 * w[0] * s
    h = np.array([[2 * s**2 + 2, mixed, mixed], [mixed, 2 * w[0] ** 2 + 2, 2 * w[0] ** 2],
                  [mixed, 2 * w[0] ** 2, 2 * w[0] ** 2 + 2]])
    np.testing.assert_allclose([a.item(), *b.tolist()], w - np.linalg.solve(h, g), atol=1e-12)


@pytest.mark.parametrize(("options", "most"), [
    ({}, 6), ({"line_search": "armijo"}, 25), ({"saddle_free": True, "line_search": "armijo"}, 25),
])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_valley_is_gone_down(options, most, dtype):
    steps, _ = steps_down_the_valley(Newton, options, dtype, graph=True)
    assert steps <= most


@pytest.mark.parametrize(("saddle_free", "end"), [(True, 0.0), (False, 67.7192)])
def test_with_a_line_search_the_loss_never_rises(saddle_free, end):
    """From a place of Himmelblau's function where H is indefinite; without saddle_free it still finds a saddle."""
    w = torch.tensor([0.0, 2.5], dtype=torch.float64, requires_grad=True)
    optimiser = Newton([w], line_search="armijo", saddle_free=saddle_free)
    closure = closure_of(optimiser, lambda: (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2, graph=True)
    losses = [optimiser.step(closure).item() for _ in range(20)]
    assert all(b <= a for a, b in pairwise(losses))
    assert losses[-1] == pytest.approx(end, abs=1e-4)


def test_flat_directions_are_not_moved_along():
    w = torch.tensor([1.0, 1.0], requires_grad=True)
    optimiser = Newton([w])
    optimiser.step(closure_of(optimiser, lambda: w[0] ** 2 + w[1], graph=True))
    assert w.tolist() == pytest.approx([0.0, 1.0])


def test_it_goes_on_where_it_was_saved():
    goes_on_exactly(lambda model: Newton(model.parameters(), lr=0.2, damping=0.1, saddle_free=True), graph=True)


def test_float32_and_weights_that_are_not_contiguous():
    keeps_its_house(lambda model: Newton(model.parameters(), damping=0.1, saddle_free=True), graph=True)


def test_it_climbs():
    climbs(Newton, {"damping": 1.0, "saddle_free": True}, graph=True)


def test_it_is_used_as_any_optimiser():
    a_weight_without_gradient_stays(Newton, {}, graph=True)
    refuses(Newton, "Newton")


def test_a_closure_without_curvature_gets_one_sentence():
    w = torch.ones(2, requires_grad=True)
    optimiser = Newton([w])
    with pytest.raises(RuntimeError, match=r"Newton needs curvature: call loss\.backward\(create_graph=True\)"):
        optimiser.step(closure_of(optimiser, lambda: w.square().sum(), graph=False))
    assert Newton.curvature


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"damping": -1}, "Invalid damping value: -1"),
    ({"line_search": "wolfe"}, "Invalid line_search: wolfe"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        Newton([torch.zeros(2, requires_grad=True)], **options)


def test_too_many_weights_for_a_matrix_are_refused():
    with pytest.raises(ValueError, match="20001 weights are too many"):
        Newton([torch.zeros(20_000, requires_grad=True), torch.zeros(1, requires_grad=True)])
