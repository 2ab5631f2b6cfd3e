"""Frank-Wolfe against NumPy references from (1) and (2), and SciPy's linear programs for the corners."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from streams import follows, goes_on, is_used_as_torch_uses_it

from shinso.optim._constraint import corner
from shinso.optim.frank_wolfe import FrankWolfe


def best(g, onto, radius):
    """The corner farthest down g, found by trying them all."""
    if onto == "l2":
        return -radius * g / np.sqrt((g**2).sum())
    if onto == "simplex":
        flat = g.reshape(-1, g.shape[-1] if g.ndim else 1)
        corners = radius * np.eye(flat.shape[1])
        return np.stack([min(corners, key=lambda s, row=row: s @ row) for row in flat]).reshape(g.shape)
    corners = radius * np.concatenate([np.eye(g.size), -np.eye(g.size)])
    return min(corners, key=lambda s: s @ g.reshape(-1)).reshape(g.shape)


def frank_wolfe(w, lr=1.0, onto="l2", radius=10.0, smoothness=None):
    """(1) with either step of (2); the first goes all the way"""
    t = 0
    while True:
        g = yield w
        away = best(g, onto, radius) - w
        share = lr * (2 / (t + 2) if smoothness is None else -(g * away).sum() / (smoothness * (away**2).sum()))
        w = w + (1.0 if t == 0 else min(1.0, share)) * away
        t += 1


@pytest.mark.parametrize("options", [
    {}, {"onto": "l1", "radius": 3.0}, {"onto": "simplex", "radius": 1.0}, {"lr": 0.5, "radius": 2.0},
    {"smoothness": 20.0, "radius": 2.0}, {"onto": "l1", "radius": 3.0, "smoothness": 20.0},
])
def test_three_hundred_steps_equal_the_reference(options):
    follows(FrankWolfe, frank_wolfe, options)


def test_maximize_goes_up():
    follows(FrankWolfe, frank_wolfe, {"onto": "l1"}, maximize=True)


@pytest.mark.parametrize("onto", ["l1", "simplex"])
def test_the_corner_is_the_answer_of_a_linear_program(onto):
    g = np.random.default_rng(0).normal(size=7)
    if onto == "l1":  # s = p - q with p, q >= 0
        found = linprog(np.concatenate([g, -g]), A_ub=np.ones((1, 14)), b_ub=[2.0], bounds=(0, None)).x
        expected = found[:7] - found[7:]
    else:
        expected = linprog(g, A_eq=np.ones((1, 7)), b_eq=[2.0], bounds=(0, None)).x
    np.testing.assert_allclose(corner(torch.tensor(g), onto, 2.0).numpy(), expected, atol=1e-12)


def test_the_corner_of_the_nuclear_ball_is_as_low_as_the_dual_norm_allows():
    g = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = corner(g, "nuclear", 2.5)
    assert torch.linalg.matrix_rank(s) == 1
    torch.testing.assert_close(torch.linalg.matrix_norm(s, "nuc").item(), 2.5)
    torch.testing.assert_close((g * s).sum(), -2.5 * torch.linalg.matrix_norm(g, 2))


def test_a_slope_of_zero_is_no_direction():
    w = torch.ones(3, requires_grad=True)
    optimiser = FrankWolfe([w], smoothness=1.0)
    for _ in range(3):
        w.grad = torch.zeros(3)
        optimiser.step()
    assert w.isfinite().all() and optimiser.state[w]["gap"] == 0


def test_the_bottom_of_a_bowl_of_condition_100_is_reached_and_the_valley_gone_down():
    for smoothness, loss, start, below in (
        (100.0, lambda w: (w[0] ** 2 + 100 * w[1] ** 2) / 2, [1.0, 1.0], 1e-3),
        (None, lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2, [-1.2, 1.0], 4.0),
    ):
        w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        optimiser = FrankWolfe([w], radius=2.0, smoothness=smoothness)
        for _ in range(2000):
            optimiser.zero_grad()
            loss(w).backward()
            optimiser.step()
        assert loss(w).item() < below


def test_it_goes_on_where_it_was_saved():
    goes_on(FrankWolfe, {"onto": "l1", "radius": 2.0})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(FrankWolfe, {"lr": 1.0})


def test_float32_stays_float32_and_only_matrices_have_singular_values():
    w = torch.ones(3, 2, requires_grad=True)
    w.grad = torch.ones(3, 2)
    optimiser = FrankWolfe([w], onto="nuclear")
    optimiser.step()
    optimiser.step()
    assert w.dtype == torch.float32 and torch.linalg.matrix_norm(w.detach(), "nuc") <= 10.001
    v = torch.ones(3, requires_grad=True)
    v.grad = torch.ones(3)
    with pytest.raises(RuntimeError, match="matrices"):
        FrankWolfe([v], onto="nuclear").step()


def test_sparse_gradients_are_refused():
    w = torch.zeros(3, requires_grad=True)
    w.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="FrankWolfe does not support sparse gradients"):
        FrankWolfe([w]).step()


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"onto": "disc"}, "Invalid onto: disc"),
    ({"radius": 0.0}, "Invalid radius: 0.0"), ({"smoothness": 0.0}, "Invalid smoothness: 0.0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        FrankWolfe([torch.zeros(2, requires_grad=True)], **options)
