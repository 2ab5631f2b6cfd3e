"""The fruit and the parabola: closed form, descent, and what each step is known to be."""

import dataclasses

import numpy as np
import pytest
from oracles import records

from shinso.basics.linear_regression import (
    FRUIT,
    VARIANTS,
    Setup,
    build,
    descend,
    gradient,
    largest_rate,
    least_squares,
    raw_weights,
    standardised,
    with_one,
)
from shinso.core.errors import UserError

X, Y = with_one(FRUIT[:, :3]), FRUIT[:, 3]


def test_the_closed_form_is_that_of_two_libraries():
    from sklearn.linear_model import LinearRegression

    ours = least_squares(X, Y)
    theirs = LinearRegression().fit(FRUIT[:, :3], Y)
    assert ours == pytest.approx([*theirs.coef_, theirs.intercept_], rel=1e-10)
    assert ours == pytest.approx(np.linalg.lstsq(X, Y, rcond=None)[0], rel=1e-9)
    assert np.abs(gradient(X, Y, ours)).max() < 1e-10


def test_standardised_features_have_mean_0_and_variance_1_and_the_same_predictions():
    x, mean, deviation = standardised(FRUIT[:, :3])
    assert np.allclose(x.mean(0), 0, atol=1e-14) and np.allclose(x.std(0), 1)
    w = np.array([0.3, -2.0, 1.1, 5.0])
    assert np.allclose(with_one(x) @ w, X @ raw_weights(w, mean, deviation))


@pytest.mark.parametrize(("share", "ends"), [(0.99, True), (1.01, False)])
def test_descent_converges_exactly_below_the_edge(share, ends):
    x, _, _ = standardised(FRUIT[:, :3])
    last = descend(with_one(x), Y, np.zeros(4), share * largest_rate(with_one(x)), 3000)
    assert np.allclose(last, least_squares(with_one(x), Y)) == ends


@pytest.mark.parametrize("name", VARIANTS)
def test_every_step_is_where_the_eigenvalues_put_it(name):
    for row in records(build(VARIANTS[name])):
        assert abs(row["measured"] - row["predicted"]) <= row["within"]
        assert np.isfinite(list(row.values())).all()


def test_the_default_run_answers_the_exercise_and_the_raw_one_does_not():
    assert records(build(VARIANTS["default"]))[-1]["asked_field"] == pytest.approx(91.03124971, abs=1e-6)
    raw = records(build(VARIANTS["raw"]))[-1]
    assert abs(raw["asked_field"] - 91.03124971) > 0.05 and abs(raw["b"] + 1.637613) > 0.5


def test_too_fast_a_run_stops_with_numbers():
    rows = records(build(dataclasses.replace(VARIANTS["too-fast"], lr=1e-3, steps=2000)))
    assert rows[-1]["w1"] == rows[-2]["w1"] and rows[-1]["measured"] > 1e9


def test_the_parabola_passes_through_its_points():
    program = build(VARIANTS["quadratic"])
    records(program)
    assert np.abs(program.X @ program.w - program.y).max() < 1e-10
    assert np.polyfit(program.X[:, 1], program.y, 2) == pytest.approx(program.best, rel=1e-9)


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"steps": 0}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(Setup(), **wrong))
