"""The Bernoulli law against SciPy's and torch's."""

import numpy as np
import pytest
import torch
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.bernoulli import Bernoulli


@pytest.mark.parametrize("p", [0.0, 1e-12, 0.3, 0.5, 1 - 1e-9, 1.0])
def test_masses_are_scipys_and_torchs(p):
    law, x = Bernoulli(p), np.array([0.0, 1.0])
    assert np.allclose(law.mass(x), stats.bernoulli(p).pmf(x), rtol=1e-14, atol=0)
    if 0 < p < 1:
        theirs = torch.distributions.Bernoulli(torch.tensor(p, dtype=torch.float64)).log_prob(torch.tensor(x))
        assert np.allclose(law.log_mass(x), theirs.numpy(), rtol=1e-6)


def test_the_log_is_exact_for_rare_events():
    assert float(Bernoulli(1e-20).log_mass(0)) == -1e-20
    assert float(Bernoulli(0.0).log_mass(1)) == -np.inf == float(Bernoulli(0.2).log_mass(0.5))


def test_samples_have_the_mean():
    x = Bernoulli(0.3).sample(np.random.default_rng(0), 100_000)
    assert set(x) == {0, 1} and abs(x.mean() - 0.3) < 4 * (0.21 / 100_000) ** 0.5


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan, "0.5", None, [0.5]])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(UserError):
        Bernoulli(p)
