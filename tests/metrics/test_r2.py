"""The coefficient of determination against scikit-learn's, and the course's numbers."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from shinso.core.errors import UserError
from shinso.metrics.r2 import APPLES, FRUIT, r2


def test_it_is_scikit_learns():
    rng = np.random.default_rng(0)
    for _ in range(50):
        y, p = rng.normal(size=(2, 12))
        assert r2(y, p) == pytest.approx(r2_score(y, p), abs=1e-13)


def test_the_fruit_has_the_courses_weights():
    fit = LinearRegression().fit(FRUIT, APPLES)
    assert np.allclose([*fit.coef_, fit.intercept_], [-0.38757424, 0.84775684, 0.69817818, -1.637613], atol=1e-6)
    assert r2(APPLES, fit.predict(FRUIT)) == pytest.approx(0.9991877418, abs=5e-11)


@pytest.mark.parametrize("y", [[1.0], [2.0, 2.0], [[1.0, 2.0]]])
def test_where_it_is_not_defined_it_is_refused(y):
    with pytest.raises(UserError, match="r2"):
        r2(y, np.zeros_like(y))
