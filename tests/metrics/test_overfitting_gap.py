"""Polynomial fits against scikit-learn's, and the gap."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PolynomialFeatures

from shinso.core.errors import UserError
from shinso.metrics.overfitting_gap import Gap, overfitting_gap, polynomial

X = np.linspace(-1, 1, 12)
Y = np.cos(3 * X)


@pytest.mark.parametrize("degree", [0, 1, 4, 7])
def test_fits_are_scikit_learns(degree):
    features = PolynomialFeatures(degree, include_bias=False)
    theirs = LinearRegression().fit(features.fit_transform(X[:, None]), Y) if degree else None
    at = np.linspace(-1, 1, 33)
    expected = theirs.predict(features.transform(at[:, None])) if theirs else np.full(33, Y.mean())
    assert np.allclose(polynomial(X, Y, degree)(at), expected, atol=1e-9)


def test_a_truth_without_noise_has_no_gap():
    new = np.linspace(-0.9, 0.9, 50)
    assert abs(overfitting_gap(X, X**3, new, new**3, 3).gap) < 1e-25
    assert Gap(0.1, 0.5).gap == 0.4


@pytest.mark.parametrize(("x", "degree"), [([0.0, 1.0], 2), ([0.0, 0.0, 1.0], 2), ([0.0, 1.0], -1)])
def test_degrees_that_the_points_do_not_determine_are_refused(x, degree):
    with pytest.raises(UserError, match="degree"):
        polynomial(x, x, degree)
