"""Global max pooling is the maximum over height and width."""

import numpy as np
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.global_max_pooling import GlobalMaxPooling


def test_it_is_torchs_with_its_gradient_among_equals_too():
    for x in (np.random.default_rng(0).normal(size=(2, 3, 4, 5)), np.ones((1, 2, 3, 3))):
        agrees(GlobalMaxPooling(), lambda _, x: F.adaptive_max_pool2d(x, 1)[:, :, 0, 0], x)
        agrees(GlobalMaxPooling(), lambda _, x: x.flatten(2).max(2)[0], x)


def test_it_is_amax():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    assert np.array_equal(GlobalMaxPooling().forward(x), np.amax(x, (2, 3)))
