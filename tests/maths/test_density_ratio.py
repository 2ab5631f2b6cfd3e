"""The learned ratio on Gaussians, and the objective's parts."""

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.maths.density_ratio import LEAST_SQUARES, bregman, least_squares_ratio, objective
from shinso.maths.f_divergence import KL, REVERSE_KL, f_divergence
from shinso.maths.gaussian import Gaussian


def test_the_ratio_of_two_gaussians_is_learned():
    rng, p, q = np.random.default_rng(0), Gaussian(0.5, 0.6), Gaussian(0, 1)
    x, y, centres = p.sample(rng, 4000), q.sample(rng, 4000), np.linspace(-3, 3, 25)

    def features(v):
        return np.exp(-((v[:, None] - centres) ** 2) / (2 * 0.5**2))

    at = np.linspace(-1.5, 2, 50)
    found = features(at) @ least_squares_ratio(features(x), features(y), 1e-3)
    assert np.abs(found - p.density(at) / q.density(at)).max() < 0.25


@pytest.mark.parametrize("g", [KL, REVERSE_KL, LEAST_SQUARES])
def test_the_sample_form_is_the_bregman_form_less_a_constant(g):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 4, 500), rng.integers(0, 4, 400)
    p, q = np.bincount(x, minlength=4) / 500, np.bincount(y, minlength=4) / 400
    guess = np.array([0.5, 1.5, 1.0, 0.8])
    assert bregman(p, q, guess, g) == pytest.approx(objective(guess[x], guess[y], g) + f_divergence(p, q, g), abs=1e-13)


def test_p_may_exclude_outcomes():
    assert bregman([1.0, 0.0], [0.5, 0.5], [2.0, 1e-9], KL) == pytest.approx(0, abs=1e-8)


def test_what_is_no_ratio_is_refused():
    with pytest.raises(UserError, match="above 0"):
        bregman([0.5, 0.5], [0.5, 0.5], [1.0, 0.0], KL)
    with pytest.raises(UserError, match="mass 0"):
        bregman([0.5, 0.5], [1.0, 0.0], [1.0, 1.0], KL)
    with pytest.raises(UserError, match="dependent"):
        least_squares_ratio(np.ones((5, 2)), np.ones((5, 2)), 0.0)
    with pytest.raises(UserError, match="shapes"):
        least_squares_ratio(np.ones((5, 2)), np.ones((5, 3)), 0.1)
    with pytest.raises(UserError, match="penalty"):
        least_squares_ratio(np.ones((5, 2)), np.ones((5, 2)), -1.0)
