"""The categorical law against torch's."""

import numpy as np
import pytest
import torch
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.multinoulli import Multinoulli


def test_log_masses_are_torchs():
    p = np.random.default_rng(0).dirichlet(np.ones(7))
    theirs = torch.distributions.Categorical(torch.from_numpy(p)).log_prob(torch.arange(7)).numpy()
    assert np.allclose(Multinoulli(p).log_mass(np.arange(7)), theirs, atol=1e-14)


def test_samples_follow_the_masses_and_skip_the_impossible():
    law = Multinoulli([0.0, 0.5, 0.0, 0.5, 0.0])
    counts = np.bincount(law.sample(np.random.default_rng(0), 20_000), minlength=5)
    assert counts[[0, 2, 4]].sum() == 0 and stats.chisquare(counts[[1, 3]]).pvalue > 1e-4


def test_the_covariance_has_rows_that_sum_to_nothing():
    assert np.abs(Multinoulli([0.2, 0.3, 0.5]).covariance.sum(1)).max() < 1e-16


@pytest.mark.parametrize("index", [3, -1, 0.5, [0, 7]])
def test_what_is_no_index_is_refused(index):
    with pytest.raises(UserError, match="indices"):
        Multinoulli([0.2, 0.3, 0.5]).mass(index)
