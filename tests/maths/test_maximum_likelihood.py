"""Fits against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.maximum_likelihood import fit_gaussian, fit_multinoulli


def test_the_gaussian_fit_is_scipys():
    x = np.random.default_rng(0).normal(3, 2, 100)
    fitted = fit_gaussian(x)
    assert (fitted.mu, fitted.sigma) == pytest.approx(stats.norm.fit(x), rel=1e-13)
    assert fitted.variance == pytest.approx(np.var(x), rel=1e-13) != pytest.approx(np.var(x, ddof=1), rel=1e-13)


def test_frequencies_allow_what_never_came():
    assert fit_multinoulli([3, 0, 1]).p.tolist() == [0.75, 0.0, 0.25]


@pytest.mark.parametrize("x", [[], [1.0], [2.0, 2.0], [1.0, np.nan]])
def test_what_has_no_gaussian_is_refused(x):
    with pytest.raises(UserError):
        fit_gaussian(x)


@pytest.mark.parametrize("counts", [[], [0, 0], [1, -1]])
def test_what_are_no_counts_is_refused(counts):
    with pytest.raises(UserError):
        fit_multinoulli(counts)
