"""MMD against loops, scikit-learn's kernels, and the permutation of labels."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel

from shinso.core.errors import UserError
from shinso.maths.mmd import (
    gaussian_kernel,
    linear_kernel,
    median_width,
    mmd,
    mmd_of_laws,
    squared_mmd_biased,
    squared_mmd_unbiased,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 2)), RNG.normal(size=(6, 2)) + 0.5


def test_the_gaussian_kernel_is_scikit_learns():
    assert np.allclose(gaussian_kernel(0.7)(X, Y), rbf_kernel(X, Y, gamma=1 / (2 * 0.7**2)), atol=1e-15)


def test_the_unbiased_estimate_is_its_loops():
    k = gaussian_kernel(1.3)
    xx = sum(k(X, X)[i, j] for i in range(8) for j in range(8) if i != j) / 56
    yy = sum(k(Y, Y)[i, j] for i in range(6) for j in range(6) if i != j) / 30
    assert squared_mmd_unbiased(X, Y, k) == pytest.approx(xx + yy - 2 * k(X, Y).mean(), abs=1e-14)


def test_laws_and_samples_agree():
    places, p, q = np.arange(3.0)[:, None], [0.25, 0.5, 0.25], [0.5, 0.25, 0.25]
    x, y = np.repeat(places, [1, 2, 1], 0), np.repeat(places, [2, 1, 1], 0)
    k = gaussian_kernel(1.0)
    assert mmd_of_laws(p, q, k(places, places)) == pytest.approx(mmd(x, y, k), abs=1e-12)


def test_equal_samples_have_none():
    assert squared_mmd_biased(X, X, gaussian_kernel(1.0)) == pytest.approx(0, abs=1e-15)
    assert mmd(X, X + np.array([3.0, 4.0]), linear_kernel) == pytest.approx(5, abs=1e-12)


def test_numbers_are_points_on_the_line():
    k = gaussian_kernel(1.0)
    assert mmd([1.0, 2.0], [0.5], k) == mmd([[1.0], [2.0]], [[0.5]], k)
    assert median_width([0.0, 1.0], [3.0]) == 2.0


@pytest.mark.parametrize(("x", "y", "said"), [
    ([[1.0]], [[1.0, 2.0]], "shapes"), (np.zeros((0, 1)), [[1.0]], "shapes"), ([np.inf], [1.0], "finite"),
])  # fmt: skip
def test_what_are_no_samples_is_refused(x, y, said):
    with pytest.raises(UserError, match=said):
        mmd(x, y, linear_kernel)


def test_one_point_has_no_unbiased_estimate():
    with pytest.raises(UserError, match="two points"):
        squared_mmd_unbiased([1.0], [1.0, 2.0], linear_kernel)
    with pytest.raises(UserError, match="width"):
        gaussian_kernel(0.0)
    with pytest.raises(UserError, match="median"):
        median_width([1.0, 1.0], [1.0])
