"""Max pooling is torch's, its positions and its routing of the gradient too."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.max_pooling import MaxPooling
from shinso.core.errors import UserError

GRID = [(2, 2, 0), (3, 2, 1), (2, 1, 0), (3, 3, 1), (2, 3, 0), (1, 2, 0)]


def values(*shape):
    return np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) / 10 - 4


@pytest.mark.parametrize("window", GRID)
def test_it_is_torchs_with_its_gradient(window):
    agrees(MaxPooling(*window), lambda _, x: F.max_pool2d(x, *window), values(2, 3, 7, 8))


@pytest.mark.parametrize("window", GRID)
def test_positions_are_torchs_among_equals_too(window):
    for x in (values(2, 3, 7, 8), np.random.default_rng(1).integers(0, 2, (2, 3, 7, 8)).astype(float)):
        layer = MaxPooling(*window)
        y, at = F.max_pool2d(torch.tensor(x), *window, return_indices=True)
        assert np.array_equal(layer.forward(x), y.numpy())
        assert np.array_equal(layer.positions(), at.numpy())


def test_equals_are_routed_as_torch_routes_them():
    x = np.random.default_rng(1).integers(0, 2, (2, 3, 6, 6)).astype(float)
    for window in ((2, 2, 0), (3, 1, 1)):
        agrees(MaxPooling(*window), lambda _, x: F.max_pool2d(x, *window), x)  # noqa: B023


def test_an_empty_batch_stays_empty():
    layer = MaxPooling(2)
    assert layer.backward(layer.forward(values(0, 3, 4, 4))).shape == (0, 3, 4, 4)


def test_a_window_larger_than_the_image_is_refused():
    with pytest.raises(UserError, match="does not fit"):
        MaxPooling(5).forward(values(1, 1, 4, 4))
