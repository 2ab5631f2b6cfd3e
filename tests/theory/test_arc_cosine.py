"""The kernel beside numerical integration, its gradients beside automatic differentiation."""

import math

import numpy as np
import pytest
import torch
from oracles import records
from scipy.integrate import quad

from shinso.theory import arc_cosine
from shinso.theory.arc_cosine import Setup, angles, correlation, gradient, loss, pull


@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("theta", [0.0, 0.3, 1.5, 2.9, math.pi])
def test_the_formula_is_the_integral_over_the_wedge(degree, theta):
    """In polar coordinates: E r^(2n) of the radius, times the mean of cos^n(a) cos^n(a - theta) where both are > 0."""
    wedge = quad(lambda a: (math.cos(a) * math.cos(a - theta)) ** degree, theta - math.pi / 2, math.pi / 2)[0]
    radius = {0: 1.0, 1: 2.0, 2: 8.0}[degree]
    w = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    v = torch.tensor([[math.cos(theta), math.sin(theta)]], dtype=torch.float64)
    found = float(correlation(3 * w, 2 * v, degree))
    assert found == pytest.approx(6**degree * radius * wedge / (2 * math.pi), abs=1e-12 * 36)


def test_gradients_of_many_units_are_those_of_autograd():
    draw = torch.Generator().manual_seed(1)
    W, V = (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in ((4, 3, 6), (5, 6)))
    w = W.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(w, V).sum(), w)
    torch.testing.assert_close(gradient(W, V), slope, rtol=1e-10, atol=1e-10)
    (slope,) = torch.autograd.grad(correlation(w, V).sum(), w)
    torch.testing.assert_close(pull(W, V), slope, rtol=1e-10, atol=1e-10)


def test_angles_are_exact_where_the_arc_cosine_is_not():
    v = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    for theta in (1e-10, 1e-5, 1.0, math.pi - 1e-10):
        w = torch.tensor([[math.cos(theta), math.sin(theta)]], dtype=torch.float64)
        assert float(angles(w, v)) == pytest.approx(theta, rel=1e-6)
        assert float(angles(v, v)) == 0.0


def test_on_the_ray_opposite_to_the_teacher_descent_goes_to_zero_and_not_to_the_teacher():
    v = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    torch.testing.assert_close(gradient(-3 * v, v), -1.5 * v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_samples_meet_the_kernel_at_every_angle(degree):
    rows = records(arc_cosine.build(Setup(degree=degree, angles=40, samples=20_000, seed=3)))
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    assert np.ptp([row["measured"] for row in rows]) > 0.4
