"""Mutual information against scikit-learn's two estimators."""

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_regression
from sklearn.metrics import mutual_info_score

from shinso.core.errors import UserError
from shinso.maths.mutual_information import binned, mutual_information, nearest_neighbours, of_gaussians

RNG = np.random.default_rng(0)


def test_tables_of_counts_are_scikit_learns():
    counts = RNG.integers(0, 20, (5, 7))
    theirs = mutual_info_score(None, None, contingency=counts)
    assert mutual_information(counts / counts.sum()) == pytest.approx(theirs, abs=1e-13)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_neighbours_are_scikit_learns(k):
    x = RNG.normal(size=400)
    y = np.sin(2 * x) + 0.4 * RNG.normal(size=400)
    theirs = mutual_info_regression(x[:, None], y, n_neighbors=k, random_state=0)[0]
    assert nearest_neighbours(x, y, k) == pytest.approx(theirs, abs=1e-3)


def test_independent_samples_tell_nothing():
    x, y = RNG.normal(size=(2, 2000))
    assert abs(nearest_neighbours(x, y)) < 0.06 and 0 < binned(x, y, 10) < 0.05


def test_units_and_ends():
    assert of_gaussians(0.6, base=2) == pytest.approx(of_gaussians(0.6) / np.log(2), rel=1e-14)
    assert of_gaussians(0) == 0 and of_gaussians(1) == of_gaussians(-1) == np.inf


def test_the_scale_does_not_matter():
    x, y = RNG.normal(size=(2, 300))
    assert nearest_neighbours(1000 * x, y + x) == pytest.approx(nearest_neighbours(x, 0.01 * (y + x)), abs=1e-9)


@pytest.mark.parametrize(("call", "said"), [
    (lambda: nearest_neighbours([1.0, 1.0, 2.0], [1.0, 2.0, 3.0]), "twice"),
    (lambda: nearest_neighbours([1.0, 2.0], [1.0, 2.0], 2), "neighbours"), (lambda: binned([1.0], [1.0], 2), "pairs"),
    (lambda: of_gaussians(1.5), "correlation"), (lambda: mutual_information([0.5, 0.5]), "axes"),
    (lambda: binned([1.0, 2.0], [1.0, 2.0], 0), "bins"),
])  # fmt: skip
def test_wrong_input_is_one_sentence(call, said):
    with pytest.raises(UserError, match=said):
        call()
