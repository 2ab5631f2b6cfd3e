"""Entropic transport: a problem solved by hand, zeros, bounds and a budget."""

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.maths.sinkhorn import rounded, sinkhorn
from shinso.maths.wasserstein import transport


def test_two_by_two_has_a_closed_form():
    eps, half = 0.7, [0.5, 0.5]
    same = 0.5 / (1 + np.exp(-1 / eps))
    plan = sinkhorn([[0.0, 1.0], [1.0, 0.0]], half, half, eps).plan
    assert np.allclose(plan, [[same, 0.5 - same], [0.5 - same, same]], atol=1e-12)


def test_outcomes_of_mass_nothing_are_left_alone():
    rng = np.random.default_rng(0)
    C, p, q = rng.random((4, 3)), np.array([0.5, 0.0, 0.2, 0.3]), np.array([0.0, 0.4, 0.6])
    found = sinkhorn(C, p, q, 0.02)
    assert (found.plan[1] == 0).all() and (found.plan[:, 0] == 0).all() and found.marginal_error < 1e-9
    assert found.lower - 1e-12 <= transport(C, p, q).cost <= found.upper + 1e-12


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_any_unit_of_cost_works(scale):
    rng = np.random.default_rng(1)
    C, p, q = rng.random((5, 6)), rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(6))
    one, other = sinkhorn(C, p, q, 0.05), sinkhorn(scale * C, p, q, 0.05 * scale)
    assert np.allclose(one.plan, other.plan, atol=1e-8) and one.upper * scale == pytest.approx(other.upper, rel=1e-6)


def test_rounding_makes_the_sums_exact():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(4))
    plan = rounded(rng.random((5, 4)) / 20, p, q)
    assert plan.min() >= 0 and np.allclose(plan.sum(1), p, atol=1e-15) and np.allclose(plan.sum(0), q, atol=1e-15)


def test_a_budget_ends_it_and_the_bounds_still_hold():
    x = np.linspace(0, 1, 15)
    C, p = np.abs(x[:, None] - x), np.full(15, 1 / 15)
    q = np.arange(1.0, 16) / 120
    found = sinkhorn(C, p, q, 1e-4, most=30)
    assert found.steps == 30 and found.eps > 1e-4
    assert found.lower - 1e-12 <= transport(C, p, q).cost <= found.upper + 1e-12


@pytest.mark.parametrize(("eps", "most"), [(0.0, 10), (-1.0, 10), (np.nan, 10), (0.1, 0)])
def test_wrong_settings_are_refused(eps, most):
    with pytest.raises(UserError):
        sinkhorn([[0.0, 1.0], [1.0, 0.0]], [0.5, 0.5], [0.5, 0.5], eps, most=most)
