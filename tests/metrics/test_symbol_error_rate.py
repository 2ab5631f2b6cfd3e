"""Error rates against SciPy's normal law and a search written out."""

import numpy as np
import pytest
from scipy.stats import norm

from shinso.core.errors import UserError
from shinso.metrics.symbol_error_rate import (
    decide,
    exhaustive,
    posterior,
    q_function,
    symbol_error_rate,
    words,
    zero_forcing,
    zero_forcing_rate,
)

RNG = np.random.default_rng(0)
H = RNG.normal(size=(3, 3))
Y = RNG.normal(size=(50, 3)) * 2


def test_q_is_the_tail_of_the_normal_law():
    t = np.linspace(-8, 37, 91)
    assert np.allclose(q_function(t), norm.sf(t), rtol=1e-11)


def test_exhaustive_search_is_its_loop():
    for y, found in zip(Y, exhaustive(H, Y), strict=True):
        best = min(words(3), key=lambda x: np.linalg.norm(y - H @ x))
        assert (best == found).all()


def test_the_posterior_is_bayes():
    likelihood = norm(0, 0.8).pdf(Y[:, None] - words(3) @ H.T).prod(-1)
    assert np.allclose(posterior(H, Y, 0.8), likelihood / likelihood.sum(1, keepdims=True), atol=1e-12)


def test_without_noise_every_detector_is_right():
    x = words(3)
    assert (zero_forcing(H, x @ H.T) == x).all() and (exhaustive(H, x @ H.T) == x).all()
    assert zero_forcing_rate(np.eye(3), 0.5) == pytest.approx(norm.sf(2), rel=1e-13)


def test_zero_is_no_symbol_of_the_count():
    with pytest.raises(UserError, match="decide"):
        symbol_error_rate([1.0, -1.0], np.sign([0.0, -1.0]))
    assert symbol_error_rate([1.0, -1.0], decide([0.0, -1.0])) == 0


@pytest.mark.parametrize("call", [
    lambda: zero_forcing(np.ones((2, 2)), np.ones((1, 2))), lambda: zero_forcing(np.eye(2), np.ones((1, 3))),
    lambda: exhaustive([[1.0], [1.0, 2.0]], Y), lambda: posterior(H, Y, -1.0), lambda: decide("a"),
    lambda: words(17), lambda: words(0),
    lambda: zero_forcing_rate(np.eye(2), 0.0), lambda: symbol_error_rate([1.0], [1.0, 1.0]),
])  # fmt: skip
def test_wrong_input_is_one_sentence(call):
    with pytest.raises(UserError, match="symbol error rate"):
        call()
