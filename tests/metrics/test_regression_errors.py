"""Regression errors against scikit-learn's."""

import numpy as np
import pytest
from sklearn import metrics

from shinso.core.errors import UserError
from shinso.metrics.regression_errors import mae, mse, rmse


def test_they_are_scikit_learns():
    rng = np.random.default_rng(0)
    for _ in range(50):
        y, p = rng.normal(size=(2, 20))
        assert mae(y, p) == pytest.approx(metrics.mean_absolute_error(y, p), rel=1e-14)
        assert mse(y, p) == pytest.approx(metrics.mean_squared_error(y, p), rel=1e-14)
        assert rmse(y, p) == pytest.approx(metrics.root_mean_squared_error(y, p), rel=1e-14)


def test_the_root_neither_overflows_nor_vanishes():
    assert rmse([1e200, 0.0], [0.0, 1e200]) == pytest.approx(1e200) and rmse([1e-200], [0.0]) == 1e-200
    assert rmse([2.0], [2.0]) == 0


@pytest.mark.parametrize(("y", "p"), [([], []), ([1.0], [1.0, 2.0]), ([np.nan], [1.0]), (["a"], [1.0])])
def test_what_does_not_pair_up_is_refused(y, p):
    with pytest.raises(UserError):
        mae(y, p)
