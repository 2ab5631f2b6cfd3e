"""Average pooling is torch's under both ways of counting."""

import numpy as np
import pytest
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.average_pooling import AveragePooling


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (2, 1, 0), (3, 3, 1), (2, 3, 0)])
def test_it_is_torchs_with_its_gradient(window, counts):
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 8))
    agrees(AveragePooling(*window, count_include_pad=counts),
           lambda _, x: F.avg_pool2d(x, *window, count_include_pad=counts), x)
