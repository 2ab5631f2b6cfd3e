"""What stands behind the edge: torch's where torch allows it, numpy's everywhere, and a gradient that comes back."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.nn.padding_modes import MODES, NUMPY, framed, places

X = torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frame", [(0, 0, 0, 0), (1, 1, 1, 1), (2, 0, 1, 3), (4, 3, 2, 4)])
def test_a_narrow_frame_is_torchs(mode, frame):
    theirs = F.pad(X, frame, mode="constant" if mode == "zeros" else mode)
    assert torch.equal(framed(X, frame, mode), theirs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 3), (5, 7)])
def test_a_frame_wider_than_the_image_is_numpys(mode, shape):
    x = X[0, 0, : shape[0], : shape[1]].contiguous()
    theirs = np.pad(x.numpy(), ((11, 6), (5, 13)), mode=NUMPY[mode])
    assert np.array_equal(framed(x, (5, 13, 11, 6), mode).numpy(), theirs)


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_adds_up_where_a_pixel_is_seen_twice(mode):
    x = X.clone().requires_grad_()
    framed(x, (2, 1, 3, 2), mode).sum().backward()
    times = torch.zeros(5, 7, dtype=torch.float64)
    if mode == "zeros":
        times += 1
    else:
        for row in places(5, 3, 2, mode).tolist():
            for column in places(7, 2, 1, mode).tolist():
                times[row, column] += 1
    assert torch.equal(x.grad, times.expand_as(X))


@pytest.mark.parametrize("mode", MODES)
def test_a_layer_of_torchs_with_this_mode_answers_alike(mode):
    layer = torch.nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode, dtype=torch.float64)
    torch.testing.assert_close(F.conv2d(framed(X, (1, 1, 1, 1), mode), layer.weight, layer.bias), layer(X))
