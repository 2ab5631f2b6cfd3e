"""The multinomial law against SciPy's."""

import numpy as np
import pytest
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.multinomial import Multinomial


@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 4), (7, 3), (40, 2)])
def test_masses_are_scipys(n, k):
    p = np.random.default_rng(n).dirichlet(np.ones(k))
    law = Multinomial(n, p)
    x = np.array(list(law.support()))
    assert np.allclose(law.mass(x), stats.multinomial(n, p).pmf(x), rtol=1e-11)
    assert np.allclose(law.covariance, stats.multinomial(n, p).cov(), atol=1e-14) if n else True


def test_large_counts_do_not_overflow():
    law = Multinomial(100_000, [0.5, 0.5])
    assert float(law.log_mass([50_000, 50_000])) == pytest.approx(stats.binom(100_000, 0.5).logpmf(50_000), rel=1e-9)


def test_samples_have_the_covariance():
    law = Multinomial(10, [0.2, 0.3, 0.5])
    x = law.sample(np.random.default_rng(0), 100_000)
    assert (x.sum(1) == 10).all()
    assert np.abs(np.cov(x.T) - law.covariance).max() < 0.05


@pytest.mark.parametrize(("n", "p"), [(-1, [1.0]), (2.5, [1.0]), (True, [1.0]), (3, [0.5, 0.4]), (3, [])])
def test_what_is_no_law_is_refused(n, p):
    with pytest.raises(UserError):
        Multinomial(n, p)


def test_counts_of_the_wrong_length_are_refused():
    with pytest.raises(UserError, match="2 outcomes"):
        Multinomial(3, [0.5, 0.5]).mass([1, 1, 1])
