"""The posterior against exact fractions, and long evidence."""

from fractions import Fraction

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.maths.bayes import log_posterior, posterior


def test_fractions_agree():
    prior, likelihood = [Fraction(1, 6), Fraction(1, 3), Fraction(1, 2)], [Fraction(3, 4), Fraction(1, 8), Fraction(0)]
    joint = [a * b for a, b in zip(prior, likelihood, strict=True)]
    exact = [float(j / sum(joint)) for j in joint]
    found = posterior([float(p) for p in prior], [float(v) for v in likelihood])
    assert np.allclose(found, exact, atol=1e-15)


def test_the_log_form_is_the_plain_form():
    rng = np.random.default_rng(0)
    for _ in range(100):
        prior, likelihood = rng.dirichlet(np.ones(5)), rng.random(5)
        assert np.allclose(np.exp(log_posterior(np.log(prior), np.log(likelihood))), posterior(prior, likelihood))


def test_an_excluded_hypothesis_stays_excluded():
    assert log_posterior([-np.inf, 0.0], [0.0, -5000.0]).tolist() == [-np.inf, 0.0]


@pytest.mark.parametrize(("prior", "likelihood", "said"), [
    ([1.0, 0.0], [0.0, 1.0], "probability 0"), ([0.5, 0.5], [0.1], "likelihoods"), ([0.5, 0.5], [0.1, -1], "negative"),
    ([0.5, 0.6], [0.1, 0.1], "sum"), ([0.5, 0.5], [np.nan, 1], "finite"),
])  # fmt: skip
def test_what_has_no_posterior_is_refused(prior, likelihood, said):
    with pytest.raises(UserError, match=said):
        posterior(prior, likelihood)


@pytest.mark.parametrize(("prior", "likelihood"), [
    ([-np.inf, -np.inf], [0.0, 0.0]), ([0.0], [0.0, 0.0]), ([np.nan, 0.0], [0.0, 0.0]), ([np.inf, 0.0], [0.0, 0.0]),
    ([], []), (["a"], ["b"]),
])  # fmt: skip
def test_what_has_no_log_posterior_is_refused(prior, likelihood):
    with pytest.raises(UserError):
        log_posterior(prior, likelihood)
