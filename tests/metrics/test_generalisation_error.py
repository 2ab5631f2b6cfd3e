"""The smoother against NumPy's fit, and the two parts of the error."""

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.metrics.generalisation_error import expected_error, generalisation_error, smoother

X, ASKED = np.linspace(0, 1, 9), np.linspace(-0.2, 1.1, 20)


@pytest.mark.parametrize("degree", [0, 2, 5])
def test_the_smoother_is_numpys_fit(degree):
    y = np.random.default_rng(degree).normal(size=9)
    theirs = np.polynomial.Polynomial.fit(X, y, degree)(ASKED)
    assert np.allclose(smoother(X, ASKED, degree) @ y, theirs, atol=1e-9)


def test_a_model_that_holds_the_truth_has_no_bias():
    S, law = smoother(X, ASKED, 2), np.full(20, 0.05)
    found = expected_error(S, X**2, ASKED**2, 0.5, law)
    assert found.squared_bias < 1e-25 and found.error == pytest.approx(found.variance)
    assert expected_error(S, X**2, ASKED**2, 0.0, law).variance == 0


def test_the_measured_error_is_the_weighted_square():
    law = np.array([0.25, 0.75])
    assert generalisation_error(np.array([[1.0, 2.0], [0.0, 0.0]]), np.zeros(2), law).tolist() == [3.25, 0.0]


def test_wrong_shapes_are_refused():
    with pytest.raises(UserError, match="fit"):
        expected_error(np.eye(3), np.ones(2), np.ones(3), 1.0, np.full(3, 1 / 3))
    with pytest.raises(UserError, match="sum"):
        generalisation_error([[1.0, 2.0]], [1.0, 2.0], [1.0, 1.0])
    with pytest.raises(UserError, match="fit"):
        generalisation_error([[1.0, 2.0]], [1.0], [1.0])
    with pytest.raises(UserError, match="degree"):
        smoother([0.0, 0.0], [0.0], 1)
