"""Variances against an enumerated law, exit times against a grid, and both sweeps."""

import dataclasses

import numpy as np
import pytest
from oracles import records
from scipy.integrate import quad

from shinso.core.errors import UserError
from shinso.theory import langevin as s


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("lr", [0.01, 0.3, 0.7])
def test_the_variance_is_the_fixed_point_of_its_recursion(lr, batch):
    """v <- (1 - a lambda)^2 v + 2 a / beta + a^2 s^2 / b, iterated."""
    v = 0.0
    for _ in range(3000):
        v = (1 - lr * s.CURVATURE) ** 2 * v + 2 * lr / s.BETA + batch * lr**2 * s.SPREAD**2 / s.BATCH
    assert s.variance(lr, batch=batch) == pytest.approx(v, rel=1e-12)


def test_the_slope_and_the_still_places_of_the_wells_are_those_of_their_height():
    land = s.Wells(0.3)
    w = np.linspace(-2, 2, 41)
    np.testing.assert_allclose(land.slope(w), (land.height(w + 1e-6) - land.height(w - 1e-6)) / 2e-6, atol=1e-8)
    assert all(abs(land.slope(np.array(place))) < 1e-12 for place in land.still())
    assert s.Wells().still() == pytest.approx((-1, 0, 1), abs=1e-12)


@pytest.mark.parametrize("beta", [1.5, 4.0])
def test_the_exit_time_solves_the_backward_equation(beta):
    """T'' / beta - F' T' = -1, T = 0 at the right bottom and T' = 0 far left, by finite differences."""
    land, n = s.Wells(0.1), 4000
    left, _, right = land.still()
    w = np.linspace(-3, right, n)
    h, drift = w[1] - w[0], -(4 * w * (w**2 - 1) + 0.1)
    from scipy.linalg import solve_banded

    bands = np.zeros((3, n))
    bands[0, 1:], bands[1], bands[2, :-1] = (1 / beta / h**2 + drift / (2 * h))[:-1], -2 / beta / h**2, (
        1 / beta / h**2 - drift / (2 * h))[1:]
    bands[1, 0], bands[0, 1] = -1.0, 1.0
    bands[1, -1], bands[2, -2] = 1.0, 0.0
    T = solve_banded((1, 1), bands, np.concatenate([[0.0], -np.ones(n - 2), [0.0]]))
    assert np.interp(left, w, T) == pytest.approx(land.exit_time(beta), rel=2e-3)


def test_the_weight_is_an_integral():
    land, top = s.Wells(0.2), s.Wells(0.2).still()[1]
    parts = [quad(lambda w: np.exp(-3 * ((w * w - 1) ** 2 + 0.2 * w)), a, b)[0] for a, b in ((-4, top), (top, 4))]
    assert land.weight(3.0) == pytest.approx(parts[0] / sum(parts), rel=1e-3)


def test_kramers_slope_is_the_barrier_in_the_limit():
    times = [np.log(s.Wells().exit_time(beta)) for beta in (40.0, 41.0)]
    assert times[1] - times[0] == pytest.approx(1.0, abs=2e-3)
    assert s.Wells().exit_time(40.0) == pytest.approx(2 * np.pi / 32**0.5 * np.exp(40), rel=0.02)


@pytest.mark.parametrize("setup", [s.VARIANTS["smoke"], s.Setup(points=12, chains=20_000, seed=3),
                                   s.Setup(law="exit", points=8, chains=1000, coldest=4.0)])
def test_every_point_is_what_was_foretold(setup):
    rows = records(s.build(setup))
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    if setup.law == "variance":
        assert all(row["batch_measured"] == pytest.approx(row["batch_predicted"], rel=0.2) for row in rows)
        assert all(row["within"] < 0.2 * row["predicted"] for row in rows)


@pytest.mark.parametrize("wrong", [{"coldest": 1.0}, {"lr": 0.2}, {"chains": 0}])
def test_what_cannot_be_asked_gets_one_sentence(wrong):
    with pytest.raises(UserError):
        s.build(dataclasses.replace(s.VARIANTS["exit"], **wrong))
