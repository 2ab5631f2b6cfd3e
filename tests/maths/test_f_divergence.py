"""Conjugates by search, witnesses, and generators that are none."""

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.maths.f_divergence import GENERATORS, KL, Generator, best_witness, f_divergence, variational_bound

X = np.concatenate([np.geomspace(1e-12, 1e6, 400_001), np.linspace(0.5, 2, 100_001)])


@pytest.mark.parametrize("name", GENERATORS)
def test_the_conjugate_is_the_largest_of_tx_minus_f(name):
    g = GENERATORS[name]
    for x in (0.1, 0.7, 1.3, 4.0, 20.0):
        t = g.derivative(np.array([x]))
        assert float(g.conjugate(t)[0]) == pytest.approx(float((t * X - g.f(X)).max()), abs=2e-6)


@pytest.mark.parametrize("name", GENERATORS)
def test_derivatives_are_differences(name):
    g, x = GENERATORS[name], np.array([0.2, 0.8, 1.7, 6.0])
    assert np.allclose(g.derivative(x), (g.f(x + 1e-6) - g.f(x - 1e-6)) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_ends_are_limits(name):
    g = GENERATORS[name]
    for value, limit in ((g.at_zero, g.f(np.array([1e-300]))[0]), (g.at_infinity, g.f(np.array([1e150]))[0] / 1e150)):
        assert value == pytest.approx(limit, abs=1e-6) or (value == np.inf and limit > 100)


def test_beyond_the_slope_the_bound_is_worthless():
    p, q = [0.5, 0.5], [0.4, 0.6]
    for name in ("reverse-kl", "total-variation", "js", "hellinger"):
        assert variational_bound(p, q, [2.0, 2.0], GENERATORS[name]) == -np.inf


def test_equal_laws_have_none():
    for g in GENERATORS.values():
        assert f_divergence([0.3, 0.0, 0.7], [0.3, 0.0, 0.7], g) == 0


def test_a_witness_needs_every_outcome():
    with pytest.raises(UserError, match="mass 0"):
        best_witness([1.0, 0.0], [0.5, 0.5], KL)
    with pytest.raises(UserError, match="witness"):
        variational_bound([0.5, 0.5], [0.5, 0.5], [1.0], KL)


def test_f_of_one_must_be_nothing():
    with pytest.raises(UserError, match=r"f\(1\)"):
        Generator(np.exp, np.exp, np.exp, 1.0, np.inf)
