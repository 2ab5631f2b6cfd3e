"""Flattening against torch's, on every rank."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.flatten import Flatten
from shinso.core.errors import UserError


@pytest.mark.parametrize("shape", [(3, 1, 28, 28), (0, 2, 3), (4, 5), (1, 1, 1), (2, 0, 3)])
def test_it_is_torchs_and_comes_back(shape):
    x, layer = np.random.default_rng(0).normal(size=shape), Flatten()
    y = layer.forward(x)
    assert np.array_equal(y, torch.tensor(x).flatten(1).numpy())
    assert np.array_equal(layer.backward(y), x)


def test_it_is_numpys_c_order_even_where_memory_is_not():
    x = np.asfortranarray(np.random.default_rng(1).normal(size=(2, 3, 4)))
    assert np.array_equal(Flatten().forward(x), x.ravel("C").reshape(2, 12))


def test_a_gradient_of_another_length_is_refused():
    layer = Flatten()
    layer.forward(np.ones((2, 3, 4)))
    with pytest.raises(UserError, match=r"flatten: the gradient has the shape \(2, 11\), not \(2, 12\)"):
        layer.backward(np.ones((2, 11)))
