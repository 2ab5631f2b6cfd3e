"""Dropout: the same mask back, new masks forward, single precision, bad probabilities."""

import numpy as np
import pytest

from shinso.autodiff.byhand.dropout import Dropout
from shinso.core.errors import UserError


@pytest.mark.parametrize("p", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_stays_is_scaled_and_goes_back_the_same_way(p, dtype):
    layer = Dropout(p, np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(200, 50)).astype(dtype)
    y = layer.forward(x)
    assert y.dtype == dtype and np.abs((y == 0).mean() - p) < 0.02
    np.testing.assert_allclose(y[y != 0], x[y != 0] / (1 - p), rtol=1e-6)
    np.testing.assert_array_equal(layer.backward(x), y)


def test_the_masks_are_those_of_the_generator_and_no_others():
    x, (one, two) = np.ones(64), (Dropout(0.5, np.random.default_rng(5)) for _ in range(2))
    first, second = one.forward(x), one.forward(x)
    assert not np.array_equal(first, second)
    assert np.array_equal(two.forward(x), first) and np.array_equal(two.forward(x), second)


def test_a_forward_in_use_takes_nothing_from_the_generator():
    layer, x = Dropout(0.5, np.random.default_rng(6)), np.ones(8)
    layer.training = False
    state = layer.rng.bit_generator.state
    assert layer.forward(x) is not x and layer.rng.bit_generator.state == state


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_no_probability_is_refused(p):
    with pytest.raises(UserError, match="dropout"):
        Dropout(p, np.random.default_rng(0))
