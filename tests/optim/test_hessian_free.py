"""Hessian-free optimisation equals a reference in NumPy whose Hessian is known, and keeps torch's contract."""

from math import ceil

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

from shinso.optim.hessian_free import HessianFree

A = np.diag(np.linspace(0.1, 20, 30)) + 0.1
B = np.linspace(-1, 2, 30)


def height(w):
    return w @ A @ w / 2 + (w**4).sum() / 4 - B @ w


def slope(w):
    return A @ w + w**3 - B


def conjugate_gradients(matrix, b, x, tolerance):
    """Martens 2010, (2), from x; all solutions on the way with q, the start left out."""
    r = b - matrix @ x
    d, found, path = r, [], [x @ matrix @ x / 2 - b @ x]
    for i in range(1, 251):
        t = r @ r / (d @ matrix @ d)
        x, new = x + t * d, r - t * matrix @ d
        d, r = new + new @ new / (r @ r) * d, new
        path.append(x @ matrix @ x / 2 - b @ x)
        found.append((x, path[-1]))
        k = max(10, ceil(i / 10))
        if i > k and path[i] < 0 and (path[i] - path[i - k]) / path[i] < k * tolerance:
            return found
    return found


def by_hand(w, damping, tolerance):
    p = np.zeros_like(w)
    while True:
        h = A + 3 * np.diag(w**2)
        matrix = h + damping * np.eye(len(w))
        if p @ matrix @ p / 2 + slope(w) @ p >= 0:  # the start must promise something
            p = np.zeros_like(w)
        found = conjugate_gradients(matrix, -slope(w), p, tolerance)
        marks, mark = [], 1
        for i, one in enumerate(found, 1):
            if i >= mark or i == len(found):
                marks.append(one)
                mark = ceil(1.3 * i)
        losses = [height(w + x) for x, _ in marks]
        last = len(marks) - 1
        while last > 0 and losses[last - 1] < losses[last]:
            last -= 1
        p = marks[last][0]
        ratio = (losses[last] - height(w)) / (slope(w) @ p + p @ h @ p / 2)
        damping *= 2 / 3 if ratio > 3 / 4 else 3 / 2 if ratio < 1 / 4 else 1
        w = w + p
        yield w, damping


@pytest.mark.parametrize("options", [{"damping": 1.0, "tolerance": 5e-4}, {"damping": 30.0, "tolerance": 1e-2}])
def test_steps_equal_the_reference(options):
    w = torch.ones(30, dtype=torch.float64, requires_grad=True)
    optimiser = HessianFree([w], **options)
    a, b = torch.tensor(A), torch.tensor(B)
    closure = closure_of(optimiser, lambda: w @ a @ w / 2 + w.pow(4).sum() / 4 - b @ w, graph=True)
    for _, (expected, damping) in zip(range(8), by_hand(np.ones(30), **options), strict=False):
        optimiser.step(closure)
        np.testing.assert_allclose(w.detach().numpy(), expected, atol=1e-9)
        assert optimiser.state[w]["damping"] == pytest.approx(damping, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_valley_is_gone_down(dtype):
    steps, calls = steps_down_the_valley(HessianFree, {}, dtype, graph=True)
    assert steps <= 25 and calls <= 110


def test_where_everything_curves_downwards_it_descends_and_is_damped():
    w = torch.tensor([0.1], dtype=torch.float64, requires_grad=True)
    optimiser = HessianFree([w], damping=1.0)
    first = optimiser.step(closure_of(optimiser, lambda: (-(w**2) + w**4).sum(), graph=True)).item()
    assert (-(w**2) + w**4).item() < first and optimiser.state[w]["damping"] == 1.5


def test_the_products_of_a_step_are_bounded():
    w = torch.ones(30, dtype=torch.float64, requires_grad=True)
    optimiser = HessianFree([w], most=3)
    closure = closure_of(optimiser, lambda: w @ torch.tensor(A) @ w, graph=True)
    optimiser.step(closure)
    assert optimiser.state[w]["products"] == 3
    optimiser.step(closure)  # one more for the start
    assert optimiser.state[w]["products"] <= 7


def test_it_goes_on_where_it_was_saved():
    goes_on_exactly(lambda model: HessianFree(model.parameters()), graph=True)


def test_float32_and_weights_that_are_not_contiguous():
    keeps_its_house(lambda model: HessianFree(model.parameters()), graph=True)


def test_it_climbs():
    climbs(HessianFree, {}, graph=True)


def test_it_is_used_as_any_optimiser():
    a_weight_without_gradient_stays(HessianFree, {}, graph=True)
    refuses(HessianFree, "HessianFree")


def test_a_closure_without_curvature_gets_one_sentence():
    w = torch.ones(2, requires_grad=True)
    optimiser = HessianFree([w])
    with pytest.raises(RuntimeError, match="HessianFree needs curvature"):
        optimiser.step(closure_of(optimiser, lambda: w.square().sum(), graph=False))
    assert HessianFree.curvature


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"damping": -1}, "Invalid damping value: -1"),
    ({"tolerance": -1}, "Invalid tolerance value: -1"), ({"most": 0}, "Invalid most value: 0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        HessianFree([torch.zeros(2, requires_grad=True)], **options)
