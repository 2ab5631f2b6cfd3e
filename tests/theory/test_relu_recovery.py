"""Thresholding, the slope and its convention at zero, and recovery over several draws."""

import pytest
import torch
from oracles import records

from shinso.core.errors import UserError
from shinso.theory.relu_recovery import VARIANTS, Recovery, Setup, build, keep, slope


def test_keep_leaves_the_largest_entries():
    assert keep(torch.tensor([1.0, -3.0, 2.0, 0.5]), 2).tolist() == [0, -3, 2, 0]
    assert keep(torch.tensor([1.0, -3.0]), 0).tolist() == [1, -3]


@pytest.mark.parametrize("at_zero", [0.0, 0.5])
def test_away_from_zero_the_slope_is_that_of_autograd(at_zero):
    program = Recovery(Setup(dimensions=20, examples=15))
    w = torch.randn(20, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    (expected,) = torch.autograd.grad(((program.X @ w).clamp(min=0) - program.y).square().mean(), w)
    torch.testing.assert_close(slope(w.detach(), program.X, program.y, at_zero), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(5, 9))
def test_other_units_are_recovered(seed):
    rows = records(build(Setup(seed=seed)))
    assert rows[-1]["error"] < 1e-6 and rows[-1]["right_places"] == 5


def test_more_examples_converge_faster():
    errors = [records(build(Setup(examples=n, steps=12)))[-1]["error"] for n in (120, 400, 4000)]
    assert errors[2] < errors[1] < errors[0]


def test_without_the_projection_the_examples_are_fitted_by_other_weights():
    rows = records(build(Setup(kept=0, lr=0.1, steps=300)))
    assert rows[-1]["loss"] < 1e-3 and rows[-1]["error"] > 0.3


def test_the_silent_variant_is_silent():
    rows = records(build(VARIANTS["silent"]))
    assert all(row["error"] == rows[0]["error"] for row in rows)


def test_more_entries_than_dimensions_are_refused():
    with pytest.raises(UserError, match="dimensions"):
        build(Setup(dimensions=4))
