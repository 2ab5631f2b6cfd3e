"""Dual numbers as numbers: operators, functions and shapes beside Tensors. Graphs and rules have tests of their own."""

import numpy as np
import pytest

from shinso.autodiff import functions as F
from shinso.autodiff.forward import Dual, hessian, jacobian, jvp
from shinso.autodiff.tensor import Tensor, grad


def test_a_dual_number_of_plain_numbers():
    x = Dual(2, 1)
    y = x**3 + 1 / x - F.log(x) * 2.0
    assert float(y.derivative) == pytest.approx(12 - 0.25 - 1.0, rel=1e-15)
    assert "Dual" in repr(y) and y.shape == ()


def test_what_does_not_move_has_derivative_zero():
    assert np.array_equal((Dual(np.ones(3)) * 2.0).derivative, np.zeros(3))


def test_float32_stays_float32():
    value, slope = jvp(lambda x: F.tanh(x * 2.0).sum(), (np.ones(3, np.float32),), (np.ones(3),))
    assert value.dtype == slope.dtype == np.float32


def test_the_gradient_of_a_directional_derivative():
    x, v = Tensor(np.array([0.5, 1.5]), requires_grad=True), np.array([1.0, -2.0])
    _, slope = jvp(lambda u: (F.exp(u) * u[::-1]).sum(), (x,), (v,))
    e, s = np.exp(x.data), x.data[::-1]
    expected = e * s * v + e * v[::-1] + np.exp(s) * v[::-1]
    np.testing.assert_allclose(grad(slope, x), expected, rtol=1e-14)


def test_shapes_of_jacobians_with_several_axes():
    x = np.arange(6.0).reshape(2, 3)
    for mode in ("forward", "reverse"):
        assert jacobian(lambda u: u.sum(0, keepdims=True), x, mode=mode).shape == (1, 3, 2, 3)
    assert hessian(lambda u: (u**2).sum(), x).shape == (2, 3, 2, 3)
    assert jacobian(lambda u: u * 2, np.zeros(0)).shape == (0, 0)
