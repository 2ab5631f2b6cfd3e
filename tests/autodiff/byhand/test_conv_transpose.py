"""The transposed convolution is torch's with every option."""

from itertools import product

import numpy as np
import pytest
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.conv_transpose import ConvTranspose


@pytest.mark.parametrize(("s", "p", "d", "extra"), [(s, p, d, e) for s, p, d, e in product((1, 2, 3), (0, 1), (1, 2),
                                                                                           (0, 1)) if e < max(s, d)])
def test_it_is_torchs_with_every_gradient(s, p, d, extra):
    draw = np.random.default_rng(0)
    layer = ConvTranspose(draw.normal(size=(2, 3, 3, 2)), draw.normal(size=3), stride=s, padding=p, dilation=d,
                          extra=extra)
    agrees(layer, lambda w, x: F.conv_transpose2d(x, w["weight"], w["bias"], s, p, extra, 1, d),
           draw.normal(size=(2, 2, 4, 5)))
