"""The matrix of a convolution, against scipy's Toeplitz matrices and torch's layer."""

import numpy as np
import pytest
from scipy.linalg import toeplitz
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.convolution_matrix import ConvolutionMatrix


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2)])
def test_it_is_torchs_layer_with_every_gradient(stride, padding):
    draw = np.random.default_rng(0)
    layer = ConvolutionMatrix(draw.normal(size=(3, 2, 3, 2)), draw.normal(size=3), (6, 5), stride=stride,
                              padding=padding)
    agrees(layer, lambda p, x: F.conv2d(x, p["weight"], p["bias"], stride, padding), draw.normal(size=(4, 2, 6, 5)))


def test_groups_and_distances_are_torchs_with_every_gradient():
    draw = np.random.default_rng(0)
    layer = ConvolutionMatrix(draw.normal(size=(6, 2, 2, 3)), draw.normal(size=6), (6, 7), padding=1, dilation=2,
                              groups=3)
    agrees(layer, lambda p, x: F.conv2d(x, p["weight"], p["bias"], 1, 1, 2, 3), draw.normal(size=(2, 6, 6, 7)))


def test_its_blocks_are_toeplitz_matrices_of_the_filters_rows():
    weight = np.random.default_rng(0).normal(size=(1, 1, 3, 3))
    M = ConvolutionMatrix(weight, np.zeros(1), (6, 7)).matrix()
    blocks = [toeplitz(np.r_[row[0], np.zeros(4)], np.r_[row, np.zeros(4)]) for row in weight[0, 0]]
    zero = np.zeros((5, 7))
    rows = [np.hstack([zero] * p + blocks + [zero] * (3 - p)) for p in range(4)]
    assert np.array_equal(M, np.vstack(rows))
