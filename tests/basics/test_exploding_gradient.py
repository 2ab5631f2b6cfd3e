"""The product of Jacobians over time, against autograd, eigenvalues and the law of independent matrices."""

import dataclasses

import numpy as np
import pytest
import torch
from oracles import records

from shinso.basics.exploding_gradient import (
    VARIANTS,
    Setup,
    advance,
    build,
    growth_of_independent,
    log_norms,
    measured_slope,
    radius,
    recurrent,
)
from shinso.core.errors import UserError


@pytest.mark.parametrize("rho", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("units", [1, 2, 9])
def test_a_drawn_matrix_has_the_radius_that_was_asked_for(rho, units):
    W = recurrent(units, rho, 3)
    assert radius(W) == pytest.approx(rho) == pytest.approx(np.abs(np.linalg.eigvals(W.numpy())).max())


@pytest.mark.parametrize("bend", ["identity", "tanh"])
def test_the_jacobian_of_a_step_is_autograds(bend):
    W, s = recurrent(5, 1.2, 0), torch.randn(5, dtype=torch.float64)
    _, J = advance(W, s, torch.ones(5, dtype=torch.float64), bend)
    truth = torch.autograd.functional.jacobian(lambda s: advance(W, s, torch.ones(5, dtype=torch.float64), bend)[0], s)
    assert torch.allclose(J, truth, atol=1e-14)


def test_the_run_with_tanh_is_the_jacobian_of_the_whole_run():
    program = build(VARIANTS["tanh"])
    W, start = program.W, program.s.clone()

    def unrolled(s):
        for _ in range(25):
            s = torch.tanh(W @ s)
        return s

    truth = torch.linalg.matrix_norm(torch.autograd.functional.jacobian(unrolled, start), 2)
    assert records(program, 0, 25)[-1]["log_gradient"] == pytest.approx(float(truth.log()), rel=1e-9)


def test_the_logs_of_the_norms_are_those_of_the_powers():
    W = recurrent(6, 0.9, 1)
    truth = [float(torch.linalg.matrix_norm(torch.linalg.matrix_power(W, t), 2).log()) for t in range(1, 40)]
    assert np.allclose(log_norms(W, 39), truth, atol=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_the_slope_is_the_radius_whatever_the_seed(seed):
    assert measured_slope(recurrent(5, 1.25, seed), 1000) == pytest.approx(np.log(1.25), abs=1e-2)


def test_one_unit_grows_by_the_mean_of_a_log_of_a_normal():
    draws = torch.randn(200_000, dtype=torch.float64).abs().log()
    assert growth_of_independent(1, 1.0) == pytest.approx(float(draws.mean()), abs=0.02)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_bound_holds_row_by_row_and_nothing_overflows(name):
    rows = records(build(dataclasses.replace(VARIANTS[name], steps=3000)))
    assert all(row["log_gradient"] <= row["log_gradient_bound"] for row in rows)
    assert np.isfinite([list(row.values()) for row in rows]).all()


def test_without_a_bend_the_growth_comes_to_log_rho_from_both_sides():
    for rho in (0.8, 1.3):
        rows = records(build(Setup(rho=rho, steps=2000)))
        assert rows[-1]["growth"] == pytest.approx(rows[-1]["log_rho"], abs=1e-3)
        assert rows[-1]["growth_independent"] < rows[-1]["growth"]


def test_the_pictures_are_two():
    assert set(build(VARIANTS["smoke"]).pictures()) == {"growth", "eigenvalues"}


@pytest.mark.parametrize("wrong", [{"units": 0}, {"rho": 0.0}, {"steps": 0}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(Setup(), **wrong))
