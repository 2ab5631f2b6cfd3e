"""Classes of functions and the metrics they make."""

from itertools import product

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.maths.ipm import ipm, moment_functions
from shinso.maths.wasserstein import on_the_line

X = np.array([-1.0, 0.0, 0.5, 2.0])
PAIRS = np.random.default_rng(0).dirichlet(np.ones(4), (50, 2))


def test_all_signs_are_total_variation():
    F = 0.5 * np.array(list(product((-1, 1), repeat=4)))
    for p, q in PAIRS:
        assert ipm(p, q, F) == pytest.approx(0.5 * np.abs(p - q).sum(), abs=1e-15)


def test_slopes_of_one_are_the_wasserstein_distance():
    slopes = np.array(list(product((-1, 1), repeat=3)))
    F = np.concatenate([np.zeros((8, 1)), np.cumsum(slopes * np.diff(X), 1)], 1)
    for p, q in PAIRS:
        assert ipm(p, q, F) == pytest.approx(on_the_line(X, X, p, q), abs=1e-14)


def test_without_the_negative_functions_it_can_be_negative():
    values = [ipm(p, q, [X], symmetric=False) for p, q in PAIRS]
    assert min(values) < 0 < max(values)


def test_wrong_shapes_are_refused():
    with pytest.raises(UserError, match="fit"):
        ipm([0.5, 0.5], [0.5, 0.5], [[1.0, 2.0, 3.0]])
    with pytest.raises(UserError, match="degree"):
        moment_functions(X, 0)
