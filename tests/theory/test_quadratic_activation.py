"""A layer of squares beside automatic differentiation, least squares and a semidefinite problem."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import records
from scipy.optimize import nnls

from shinso.core.errors import UserError
from shinso.theory.quadratic_activation import VARIANTS, Setup, Squares, answers, build, least, slope


def test_the_slope_is_that_of_autograd():
    program = Squares(Setup(starts=3, scale=1.0))
    W = program.W.clone().requires_grad_()
    total = ((answers(W, program.v, program.X) - program.y) ** 2).sum() / (2 * len(program.X))
    (expected,) = torch.autograd.grad(total, W)
    torch.testing.assert_close(slope(program.W, program.v, program.X, program.y), expected, rtol=1e-12, atol=1e-12)


def test_answers_are_a_quadratic_form():
    program = Squares(Setup(starts=1))
    B = program.W[0].T @ torch.diag(program.v) @ program.W[0]
    torch.testing.assert_close(answers(program.W, program.v, program.X)[0],
                               torch.einsum("ni,ij,nj->n", program.X, B, program.X))


@pytest.mark.parametrize("examples", [10, 15, 40])
def test_the_least_is_that_of_numpy(examples):
    program = Squares(Setup(examples=examples))
    X, y = program.X.numpy(), program.y.numpy()
    full = np.einsum("ni,nj->nij", X, X).reshape(examples, -1)  # both triangles: the same functions
    B = np.linalg.lstsq(full, y, rcond=None)[0]
    assert least(program.X, program.y) == pytest.approx(((full @ B - y) ** 2).sum() / 2 / examples, abs=1e-14)


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("name", ["default", "many-labels"])
def test_other_labels_are_fitted_as_well_as_they_can_be(seed, name):
    rows = records(build(replace(VARIANTS[name], seed=seed, inner=20)))
    assert rows[-1]["loss_worst"] - rows[-1]["optimum"] < 1e-8


def test_in_one_dimension_plus_signs_reach_the_optimum_over_numbers_above_zero():
    """f = b x^2 with b >= 0: non-negative least squares."""
    program = build(Setup(dimensions=1, units=2, positive=2, seed=2))
    records(program)
    X, y = program.X.numpy(), program.y.numpy()
    _, norm = nnls(X**2, y)
    assert program.losses().numpy() == pytest.approx(norm**2 / 2 / len(y), abs=1e-9)


def test_plus_signs_alone_fail_for_other_labels_too():
    rows = records(build(Setup(positive=10, seed=1)))
    assert rows[-1]["loss_best"] > 0.1


def test_more_positive_units_than_units_are_refused():
    with pytest.raises(UserError, match="positive"):
        build(Setup(positive=11))
