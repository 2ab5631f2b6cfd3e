"""Folds against scikit-learn's own cross-validation."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, LeaveOneOut, cross_val_predict

from shinso.core.errors import UserError
from shinso.metrics.kfold import folds, held_out, least_squares, leave_one_out_errors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(25, 3))
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=25)


@pytest.mark.parametrize("k", [2, 5, 25])
def test_held_out_answers_are_scikit_learns(k):
    theirs = cross_val_predict(LinearRegression(), X, Y, cv=KFold(k, shuffle=True, random_state=3))
    assert np.allclose(held_out(least_squares, X, Y, k, 3), theirs, atol=1e-12)


def test_the_shortcut_is_leave_one_out():
    theirs = cross_val_predict(LinearRegression(), X, Y, cv=LeaveOneOut())
    assert np.allclose(leave_one_out_errors(X, Y), Y - theirs, atol=1e-12)


def test_a_fit_never_sees_what_it_answers():
    seen = []
    held_out(lambda x, y, asked: seen.append((set(y), len(asked))) or np.zeros(len(asked)), X, np.arange(25.0), 4, 0)
    assert all(len(learned) + asked == 25 for learned, asked in seen) and sum(asked for _, asked in seen) == 25


@pytest.mark.parametrize(("n", "k"), [(10, 1), (10, 11), (1, 2)])
def test_impossible_folds_are_refused(n, k):
    with pytest.raises(UserError, match="folds"):
        list(folds(n, k, 0))


def test_what_has_no_shortcut_is_refused():
    with pytest.raises(UserError, match="dependent"):
        leave_one_out_errors(np.ones((5, 1)), np.ones(5))
    with pytest.raises(UserError, match="without example 2"):
        leave_one_out_errors([[0.0], [0.0], [1.0]], [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="finite"):
        leave_one_out_errors([[np.nan], [0.0]], [1.0, 2.0])
    with pytest.raises(UserError, match="pairs"):
        leave_one_out_errors([[1.0], [0.0]], [1.0])
