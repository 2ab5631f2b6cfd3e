"""The discrete law against SciPy's, and its refusals."""

import numpy as np
import pytest
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.discrete import Discrete


def test_moments_and_masses_are_scipys():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values, p = np.arange(6) - 2, rng.dirichlet(np.ones(6))
        law, theirs = Discrete(values, p), stats.rv_discrete(values=(values, p))
        assert law.mean == pytest.approx(theirs.mean(), abs=1e-12)
        assert law.variance == pytest.approx(theirs.var(), abs=1e-12)
        assert np.allclose(law.mass(np.arange(-4, 6)), theirs.pmf(np.arange(-4, 6)), atol=1e-15)


def test_samples_follow_the_masses():
    law = Discrete([-1.0, 0.5, 7.0], [0.2, 0.5, 0.3])
    x = law.sample(np.random.default_rng(0), 50_000)
    counts = [(x == v).sum() for v in law.values]
    assert stats.chisquare(counts, 50_000 * law.probabilities).pvalue > 1e-4


def test_one_certain_value():
    law = Discrete([1e300], [1.0])
    assert law.mean == 1e300 and law.variance == 0 and law.log_mass(0.0) == -np.inf and law.log_mass(1e300) == 0


@pytest.mark.parametrize(("values", "p", "said"), [
    ([1, 2], [0.5, 0.6], "sum"), ([1, 2], [1.5, -0.5], "negative"), ([1, 2], [1.0], "2 values"),
    ([1, 1], [0.5, 0.5], "twice"), ([1, np.nan], [0.5, 0.5], "finite"), ([], [], "empty"), ([[1]], [1.0], "axes"),
])  # fmt: skip
def test_what_is_no_law_is_refused(values, p, said):
    with pytest.raises(UserError, match=said):
        Discrete(values, p)
