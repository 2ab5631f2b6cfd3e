"""The channel's noise by tests of fit, shape and refusal."""

import numpy as np
import pytest
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.awgn import awgn, noise_deviation


def test_real_and_complex_noise_is_gaussian():
    rng = np.random.default_rng(0)
    w = awgn(np.zeros(20_000), 0.5, rng)
    z = awgn(np.zeros(20_000, dtype=complex), 0.5, rng)
    for part, deviation in ((w, 0.5), (z.real, 0.5 / 2**0.5), (z.imag, 0.5 / 2**0.5)):
        assert stats.kstest(part, stats.norm(0, deviation).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(z.real, z.imag)[0, 1]) < 4 / 20_000**0.5


def test_no_noise_changes_nothing_and_shapes_stay():
    x = np.ones((2, 3, 4))
    assert (awgn(x, 0.0, np.random.default_rng(0)) == x).all() and x.max() == 1
    assert awgn(np.ones((), dtype=complex), 1.0, np.random.default_rng(0)).shape == ()


@pytest.mark.parametrize(("x", "sigma"), [([np.nan], 1.0), ([1.0], -1.0), ([1.0], np.nan), (["a"], 1.0)])
def test_what_is_no_signal_is_refused(x, sigma):
    with pytest.raises(UserError):
        awgn(np.array(x), sigma, np.random.default_rng(0))


def test_a_rate_is_above_zero():
    with pytest.raises(UserError, match="rate"):
        noise_deviation(4.5, 0.0)
