"""The threshold beside torch's, which has no default arguments."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.threshold import Threshold


@pytest.mark.parametrize(("threshold", "value"), [(0.0, 0.0), (1.0, -2.0), (-0.5, -0.5), (0.3, 5.0)])
def test_it_is_torchs_also_at_the_jump(threshold, value):
    x = np.append(np.linspace(-3, 3, 101), threshold)
    theirs = torch.tensor(x, requires_grad=True)
    out = F.threshold(theirs, threshold, value)
    grad = np.linspace(-1, 2, 102)
    out.backward(torch.tensor(grad))
    layer = Threshold(threshold, value)
    np.testing.assert_array_equal(layer.forward(x), out.detach().numpy())
    np.testing.assert_array_equal(layer.backward(grad), theirs.grad.numpy())
