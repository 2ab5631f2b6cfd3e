"""Patches with an overlap, the slope of a shared filter, and how fast it is learned."""

import numpy as np
import pytest
import torch
from oracles import records

from shinso.theory.filter_recovery import Filter, Setup, answers, build, factor, patches, slope


def test_the_slope_is_that_of_autograd():
    program = Filter(Setup(examples=30, starts=3))
    W = program.W.clone().requires_grad_()
    wrong = answers(W, program.Z) - program.y[:, None]
    (expected,) = torch.autograd.grad(0.5 * wrong.square().mean(0).sum(), W)
    torch.testing.assert_close(slope(program.W, program.Z, program.y), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_patches_have_unit_variance_and_the_foreseen_correlation(spread):
    Z = patches(20_000, (2, 3), spread, 0)
    assert float(Z.var()) == pytest.approx(1.0, abs=0.02) and abs(float(Z.mean())) < 0.02
    expected = (1 - spread) ** 2 / ((1 - spread) ** 2 + spread**2)
    assert float((Z[:, 0] * Z[:, 1]).mean()) == pytest.approx(expected, abs=0.02)


def test_patches_that_are_the_same_are_one_patch():
    Z = patches(10, (4, 3), 0.0, 0)
    torch.testing.assert_close(Z, Z[:, :1].expand_as(Z))


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_other_filters_are_recovered(spread, seed):
    rows = records(build(Setup(spread=spread, seed=seed, steps=250)))
    assert rows[-1]["error_worst"] < 1e-5


@pytest.mark.parametrize("seed", [1, 2])
def test_closer_patches_are_faster_for_other_filters(seed):
    factors = [factor(tuple(row["error_worst"] for row in records(build(Setup(spread=spread, seed=seed)))))
               for spread in (0.0, 0.4, 0.7)]
    assert factors[0] < factors[1] < factors[2] < 1


def test_the_factor_of_a_geometric_sequence_is_its_own():
    assert factor(tuple(0.8 ** np.arange(60))) == pytest.approx(0.8, rel=1e-12)
    assert factor((1.0, 0.9, 0.8)) == 1.0
