"""Differences and the complex step agree with what is known, in their precision, and change nothing."""

import numpy as np
import pytest
import torch

from shinso.autodiff import numerical
from shinso.autodiff.numerical import METHODS, central_difference, complex_step, gradcheck, jacobian


def f(x):
    return np.sum(np.exp(x[0]) * np.sin(x[1])) + np.prod(x[:, 0])


X = np.random.default_rng(3).normal(size=(2, 4))


def exact():
    x = torch.tensor(X, requires_grad=True)
    (torch.sum(x[0].exp() * x[1].sin()) + x[:, 0].prod()).backward()
    return x.grad.numpy()


@pytest.mark.parametrize(("method", "within"), [("forward", 3e-7), ("central", 1e-9), ("richardson", 1e-11),
                                                ("complex", 4e-15)])  # fmt: skip
def test_each_method_has_its_digits(method, within):
    before = X.copy()
    assert np.abs(METHODS[method](f, X) - exact()).max() < within
    assert (before == X).all()


@pytest.mark.parametrize("method", METHODS)
def test_float32_stays_float32(method):
    seen = []

    def watched(x):
        seen.append(x.dtype)
        return f(x)

    gradient = METHODS[method](watched, X.astype(np.float32))
    assert gradient.dtype == np.float32
    assert set(seen) <= {np.dtype(np.float32), np.dtype(np.complex64)}
    assert np.abs(gradient - exact()).max() < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_evaluations_are_as_said(method):
    calls, evaluations = [], {"forward": 9, "central": 16, "richardson": 32, "complex": 8}[method]
    METHODS[method](lambda x: calls.append(1) or f(x), X)
    assert len(calls) == evaluations


def test_integers_are_read_as_float64():
    assert central_difference(lambda x: np.sum(x * x), np.array([1, 2])) == pytest.approx([2, 4], abs=1e-9)


def test_nothing_in_nothing_out():
    assert complex_step(lambda x: np.sum(x), np.zeros((0, 3))).shape == (0, 3)
    assert gradcheck(lambda x: 0.0, lambda x: x, np.zeros((0, 3))).holds


def test_a_jacobian_has_both_shapes():
    weight = np.random.default_rng(0).normal(size=(3, 4))
    measured = jacobian(lambda x: np.tanh(weight @ x.T), X)
    expected = torch.autograd.functional.jacobian(lambda x: torch.tanh(torch.tensor(weight) @ x.T), torch.tensor(X))
    assert measured.shape == (3, 2, 2, 4)
    assert np.abs(measured - np.asarray(expected)).max() < 1e-9


@pytest.mark.parametrize("slip", [lambda g: -g, lambda g: 2 * g, lambda g: g.T, lambda g: g + 1e-5 * (g == g.max())])
def test_gradcheck_finds_a_slip_and_where(slip):
    square = np.arange(9.0).reshape(3, 3) + 1

    def cost(x):
        return np.sum(square * x**2)

    assert gradcheck(cost, lambda x: 2 * square * x, np.ones((3, 3)), 1e-9).holds
    wrong = gradcheck(cost, lambda x: slip(2 * square * x), np.ones((3, 3)), 1e-9)
    assert not wrong.holds
    assert wrong.worst == tuple(np.argwhere(wrong.claimed != 2 * square)[0]) or wrong.error > 1e-3


def test_a_gradient_that_changes_its_argument_does_not_spoil_the_check():
    def gradient(x):
        x *= 2
        return x

    assert gradcheck(lambda x: np.sum(x**2), gradient, X).holds


def test_the_gradient_of_the_trap_is_large_only_in_float32():
    assert numerical._notebook(np.float32, 1e-5, central=False).mean() > 1e4 * numerical._notebook(
        np.float64, 1e-5, central=False).mean()
