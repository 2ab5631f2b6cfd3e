"""Convolution as mathematics means it, against scipy in two dimensions and NumPy in one."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.convolution import Convolution
from shinso.autodiff.byhand.true_convolution import TrueConvolution, convolve, correlate


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 3), (3, 5), (8, 8)])
def test_signals_are_numpys(n, m):
    draw = np.random.default_rng(n)
    g, f = draw.normal(size=n), draw.normal(size=m)
    np.testing.assert_allclose(convolve(g, f), np.convolve(g, f), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(correlate(g, f), np.correlate(g, f, "full"), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("padding", "mode"), [(0, "valid"), (2, "full"), (1, "same")])
def test_images_are_scipys(padding, mode):
    draw = np.random.default_rng(0)
    x, w = draw.normal(size=(7, 6)), draw.normal(size=(3, 3))
    for layer, theirs in ((TrueConvolution, convolve2d), (Convolution, correlate2d)):
        y = layer(w[None, None], padding=padding).forward(x[None, None])[0, 0]
        np.testing.assert_allclose(y, theirs(x, w, mode), rtol=1e-13, atol=1e-13)


def test_its_gradients_are_those_of_the_flipped_correlation():
    draw = np.random.default_rng(0)
    layer = TrueConvolution(draw.normal(size=(4, 3, 3, 2)), draw.normal(size=4), stride=2, padding=1)
    agrees(layer, lambda p, x: F.conv2d(x, torch.flip(p["weight"], (2, 3)), p["bias"], 2, 1),
           draw.normal(size=(2, 3, 6, 7)))
