"""Frank-Wolfe over units on a line, beside other solvers of the same convex problem."""

from itertools import pairwise

import numpy as np
import pytest
from oracles import records
from scipy.optimize import nnls

from shinso.theory.convex_networks import VARIANTS, FrankWolfe, Setup, build, curvature, optimum, units


def test_units_bend_where_they_should():
    assert units(np.array([-1.0, 0.5]), np.array([0.0, 0.25])).tolist() == [[0, 0, 1, 1.25], [0.5, 0.25, 0, 0]]


@pytest.mark.parametrize("radius", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_optimum_is_that_of_non_negative_least_squares_with_a_heavy_row_for_the_norm(radius, seed):
    program = FrankWolfe(Setup(radius=radius, seed=seed))
    both = np.concatenate([program.atoms, -program.atoms, np.zeros((len(program.y), 1))], 1)
    heavy = np.vstack([both, np.full((1, both.shape[1]), 1e3)])  # the last column is what is left of R
    w, _ = nnls(heavy, np.append(program.y, 1e3 * radius), maxiter=10_000)
    assert np.square(both @ w - program.y).mean() / 2 == pytest.approx(program.best, abs=1e-5)
    found = optimum(program.atoms, program.y, radius)
    assert np.abs(found).sum() == pytest.approx(radius, rel=1e-12)
    assert program.oracle(found)[1] < 1e-12


def test_a_larger_radius_fits_better():
    best = [FrankWolfe(Setup(radius=radius, examples=20)).best for radius in (0.5, 2.0, 8.0, 32.0)]
    assert all(b < a for a, b in pairwise(best)) and best[-1] < 0.01


@pytest.mark.parametrize("rule", ["fixed", "search"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_bound_holds_for_other_examples(rule, seed):
    rows = records(build(Setup(rule=rule, seed=seed, radius=7.0)))
    assert all(row["gap"] <= row["bound"] for row in rows)
    assert all(row["gap"] <= row["duality_gap"] + 1e-15 for row in rows)
    assert all(row["units"] <= t for t, row in enumerate(rows, 1))


def test_the_best_share_is_the_minimum_over_shares():
    program, search = FrankWolfe(Setup(seed=4, rule="fixed")), FrankWolfe(Setup(seed=4))
    for i in range(4):
        program.step(i)
    search.w = program.w.copy()
    corner, _ = program.oracle(program.w)
    tried = min(program.loss((1 - g) * program.w + g * corner) for g in np.linspace(0, 1, 2001))
    assert search.step(4)["loss"] <= tried + 1e-15


def test_the_weights_stay_in_the_ball():
    program = build(VARIANTS["small"])
    for i in range(60):
        program.step(i)
        assert np.abs(program.w).sum() <= 4.0 * (1 + 1e-12)


def test_the_curvature_of_two_known_units():
    atoms = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert curvature(atoms, 3.0) == pytest.approx(max(4 * 9 * 4, 9 * (1 + 4)) / 2)


def test_the_duality_gap_falls_along_with_the_gap():
    rows = records(build(Setup(rule="fixed")))
    quarter = [max(row["duality_gap"] for row in rows[k:k + 100]) for k in range(0, 400, 100)]
    assert all(b < a for a, b in pairwise(quarter))
