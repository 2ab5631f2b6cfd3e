"""Gradients against autograd, minimisers against SciPy, and bounds that break as soon as their conditions do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import records
from scipy.optimize import minimize

from shinso.core.errors import UserError
from shinso.theory import convex_descent
from shinso.theory.convex_descent import Setup, logistic, problem_of, walk


@pytest.mark.parametrize("kind", ["quadratic", "logistic", "ridge", "runaway"])
def test_the_slope_is_that_of_the_value_and_L_bounds_its_change(kind):
    problem, rng = problem_of(Setup(function=kind)), np.random.default_rng(0)
    for _ in range(20):
        x = problem.start + np.abs(rng.normal(size=problem.start.shape))
        ahead = rng.normal(size=x.shape)
        central = (problem.value(x + 1e-5 * ahead) - problem.value(x - 1e-5 * ahead)) / 2e-5
        assert problem.slope(x) @ ahead == pytest.approx(central, rel=1e-6, abs=1e-9)
        y = problem.start + np.abs(rng.normal(size=x.shape))
        change = np.linalg.norm(problem.slope(x) - problem.slope(y))
        assert change <= problem.L * np.linalg.norm(x - y) * (1 + 1e-12)
        assert change >= problem.mu * np.linalg.norm(x - y) * (1 - 1e-12)


@pytest.mark.parametrize("ridge", [0.0, 0.02])
def test_newton_finds_the_minimiser_that_scipy_finds(ridge):
    problem = logistic(ridge, 5, 3)
    found = minimize(problem.value, problem.start, jac=problem.slope, method="BFGS", options={"gtol": 1e-10})
    np.testing.assert_allclose(problem.end, found.x, atol=1e-6)
    assert np.abs(problem.slope(problem.end)).max() < 1e-14


@pytest.mark.parametrize("variant", ["default", "ridge", "quadratic", "runaway"])
def test_every_variant_stays_below_its_bound_at_every_step(variant):
    for seed in (0, 5):
        for row in records(convex_descent.build(replace(convex_descent.VARIANTS[variant], seed=seed))):
            assert 0 <= row["bound_used"] <= 1
            assert row["bound_used"] > 0.01 or row.get("gap", 1.0) < 0.05


def test_a_step_of_more_than_two_over_L_breaks_the_bound():
    problem = problem_of(Setup(function="quadratic"))
    path = walk(problem, 50, 2.1 / problem.L)
    measured, bound = convex_descent.measured_and_bound("quadratic", problem, path[-1], 50)
    assert measured > 10 * bound


def test_the_two_unit_loss_is_that_of_torch_and_does_not_see_a_swap():
    w = torch.tensor([0.3, 1.7], dtype=torch.float64)
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)
    teacher = torch.tensor([0.4, 2.5], dtype=torch.float64)
    expected = ((w[:, None] * x).tanh().sum(0) - (teacher[:, None] * x).tanh().sum(0)).square().mean()
    assert convex_descent.two_units_loss(w.numpy()) == pytest.approx(float(expected), rel=1e-12)
    assert convex_descent.two_units_loss(w.numpy()[::-1]) == pytest.approx(float(expected), rel=1e-12)


def test_a_condition_number_below_one_is_refused():
    with pytest.raises(UserError, match="condition"):
        convex_descent.build(Setup(condition=0.5))
