"""Global average pooling is the mean over height and width."""

import numpy as np
import pytest
from torch_oracle import agrees

from shinso.autodiff.byhand.global_average_pooling import GlobalAveragePooling


@pytest.mark.parametrize("size", [(4, 5), (1, 1), (7, 7)])
def test_it_is_torchs_mean_with_its_gradient(size):
    agrees(GlobalAveragePooling(), lambda _, x: x.mean((2, 3)), np.random.default_rng(0).normal(size=(2, 3, *size)))
