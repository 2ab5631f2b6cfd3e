"""Unpooling by stored position is torch's."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.max_pooling import MaxPooling
from shinso.autodiff.byhand.max_unpooling import MaxUnpooling
from shinso.core.errors import UserError


def test_it_is_torchs_with_its_gradient():
    draw = np.random.default_rng(0)
    x, pooling = draw.normal(size=(2, 3, 6, 9)), MaxPooling(3)
    y = pooling.forward(x)
    _, at = F.max_pool2d(torch.tensor(x), 3, return_indices=True)
    torch.use_deterministic_algorithms(True, warn_only=True)  # torch's unpooling has no other form
    try:
        with pytest.warns(UserWarning, match="deterministic"):
            agrees(MaxUnpooling(pooling), lambda _, y: F.max_unpool2d(y, at, 3), draw.normal(size=y.shape))
    finally:
        torch.use_deterministic_algorithms(True)


def test_values_without_positions_are_refused():
    pooling = MaxPooling(2)
    pooling.forward(np.ones((1, 1, 4, 4)))
    with pytest.raises(UserError, match="have no positions"):
        MaxUnpooling(pooling).forward(np.ones((1, 2, 2, 2)))
