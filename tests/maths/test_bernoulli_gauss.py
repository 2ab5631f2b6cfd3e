"""The sparse law's conditional parts."""

import numpy as np
import pytest
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.bernoulli_gauss import BernoulliGauss


def test_what_is_not_zero_is_gaussian():
    x = BernoulliGauss(0.3, 2.0).sample(np.random.default_rng(0), 50_000)
    assert stats.kstest(x[x != 0], stats.norm(0, 2).cdf).pvalue > 1e-4


def test_the_density_is_the_part():
    x = np.linspace(-3, 3, 7)
    assert np.allclose(BernoulliGauss(0.3, 2.0).density(x), 0.3 * stats.norm(0, 2).pdf(x), rtol=1e-14)


@pytest.mark.parametrize(("p", "sigma"), [(-0.1, 1), (1.1, 1), (0.5, 0), (np.nan, 1), (0.5, np.inf)])
def test_what_is_no_law_is_refused(p, sigma):
    with pytest.raises(UserError):
        BernoulliGauss(p, sigma)
