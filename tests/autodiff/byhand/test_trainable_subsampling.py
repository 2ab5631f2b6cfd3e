"""The pooling of 1998 beside torch's autograd."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.trainable_subsampling import TrainableSubsampling
from shinso.core.errors import UserError


@pytest.mark.parametrize("squash", [True, False])
def test_it_is_the_formula_with_its_gradients(squash):
    draw = np.random.default_rng(0)
    layer = TrainableSubsampling(draw.normal(size=3), draw.normal(size=3), squash=squash)

    def formula(p, x):
        a = 4 * F.avg_pool2d(x, 2) * p["coefficient"][:, None, None] + p["bias"][:, None, None]
        return 1.7159 * torch.tanh(a * 2 / 3) if squash else a

    agrees(layer, formula, draw.normal(size=(2, 3, 4, 6)))


def test_odd_images_are_refused():
    with pytest.raises(UserError, match="even height"):
        TrainableSubsampling(np.ones(1), np.ones(1)).forward(np.ones((1, 1, 3, 4)))
