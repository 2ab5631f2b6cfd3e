"""The four methods against autograd and scipy, the chain against differences, and the sweep."""

import numpy as np
import pytest
import torch
from oracles import records
from scipy.optimize import minimize

from shinso.core.errors import UserError
from shinso.theory import saddle_escape as s


def points(n=20):
    return np.random.default_rng(0).uniform(-1.5, 1.5, (n, 2))


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_the_slope_is_that_of_autograd_and_turning_keeps_the_heights(angle):
    saddle, w = s.Saddle(1.5, angle), torch.tensor(points(), requires_grad=True)
    x, y = (w @ torch.tensor(saddle.turn())).T
    f = 0.75 * (x**2 - y**2) + y**4 / 4
    f.sum().backward()
    np.testing.assert_allclose(saddle.height(points()), f.detach().numpy(), atol=1e-14)
    np.testing.assert_allclose(saddle.slope(points()), w.grad.numpy(), atol=1e-14)


def test_the_first_saddle_is_that_of_the_course():
    x, y = points().T
    np.testing.assert_allclose(s.Saddle().height(points()), x**2 - y**2 + y**4 / 4, atol=1e-14)
    np.testing.assert_allclose(s.Saddle(1.0).height(points()), x**2 / 2 - y**2 / 2 + y**4 / 4, atol=1e-14)


def test_the_proximal_point_is_the_minimum_that_scipy_finds():
    saddle = s.Saddle(2.0, 0.4)
    for w in points(6):
        ours = s.proximal(saddle, w, 0.3)
        theirs = minimize(lambda z, w=w: saddle.height(z) + ((z - w) ** 2).sum() / 0.6, w, tol=1e-12)
        np.testing.assert_allclose(ours, theirs.x, atol=1e-6)
        np.testing.assert_allclose(ours + 0.3 * saddle.slope(ours), w, atol=1e-13)


def test_the_mirror_moves_in_its_own_coordinates():
    saddle, w = s.Saddle(2.0, 0.4), points()
    np.testing.assert_allclose(np.arcsinh(s.mirror(saddle, w, 0.1)), np.arcsinh(w) - 0.1 * saddle.slope(w), atol=1e-14)


def test_the_second_coordinate_sees_the_first_moved():
    saddle, w = s.Saddle(2.0, 0.4), np.array([0.5, -0.8])
    first = w - [0.1 * saddle.slope(w)[0], 0]
    np.testing.assert_allclose(s.coordinates(saddle, w, 0.1), first - [0, 0.1 * saddle.slope(first)[1]], atol=1e-15)
    assert not np.allclose(s.coordinates(saddle, w, 0.1), s.gradient(saddle, w, 0.1), atol=1e-4)


def test_the_chains_slope_is_its_difference_quotient_and_continuous():
    chain, draw = s.Chain(1.3, 0.7), np.random.default_rng(1)
    for _ in range(30):
        x, way = draw.uniform(-4, 4, 5), draw.normal(size=5)
        ratio = (chain.height(x + 1e-6 * way) - chain.height(x - 1e-6 * way)) / 2e-6
        assert chain.slope(x) @ way == pytest.approx(ratio, rel=1e-6, abs=1e-6)
    for edge in (1.0, 2.0):
        x = np.array([edge, 0.3, 0.2])
        np.testing.assert_allclose(chain.slope(x - 1e-9), chain.slope(x + 1e-9), atol=1e-6)


def test_the_rate_of_the_chain_is_below_its_bound_along_the_way():
    """The largest eigenvalue of the Hessian where descent goes, by differences, is below 1/0.05."""
    chain, x, largest = s.Chain(), s.scattered(1, d=4)[0], 0.0
    for _ in range(260):
        hessian = np.stack([(chain.slope(x + 1e-5 * e) - chain.slope(x - 1e-5 * e)) / 2e-5 for e in np.eye(4)])
        largest = max(largest, np.abs(np.linalg.eigvalsh((hessian + hessian.T) / 2)).max())
        x = x - 0.05 * chain.slope(x)
    assert np.abs(x[:3]).min() > 3.9 and largest < 20


@pytest.mark.parametrize("variant", s.VARIANTS)
def test_every_start_leaves_when_it_was_foretold(variant):
    rows = records(s.build(s.VARIANTS[variant]))
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    assert rows[-1]["measured"] > 3 * rows[0]["measured"]
    assert all(row["steps_proximal"] <= row["measured"] for row in rows)


def test_a_start_on_the_line_never_leaves():
    assert s.escape(s.gradient, s.Saddle(), np.array([1.0, 0.0]), 0.1, most=3000) == 3000


@pytest.mark.parametrize("wrong", [{"lr": 0.25}, {"smallest": 0.5}, {"chain": 11}])
def test_what_cannot_be_asked_gets_one_sentence(wrong):
    with pytest.raises(UserError):
        s.build(s.Setup(**wrong))
