"""The convolution layer is torch's, forwards and backwards, and the loops it stands for."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.signal import convolve
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.convolution import Convolution, by_loops
from shinso.autodiff.byhand.convolution_matrix import ConvolutionMatrix
from shinso.autodiff.byhand.true_convolution import TrueConvolution
from shinso.core.errors import UserError

GRID = [(f, s, p, d, g) for f, s, p, d, g in product(((1, 1), (3, 2), (2, 3), (5, 5)), (1, 2, 3), (0, 1, 2), (1, 2),
                                                     (1, 2)) if d * (max(f) - 1) < 7 + 2 * p]


@pytest.mark.parametrize(("size", "s", "p", "d", "g"), GRID[::3])
def test_in_single_precision_it_is_torchs_too(size, s, p, d, g):
    weight, bias, x = (a.astype(np.float32) for a in made(size, g))
    ours = Convolution(weight, bias, stride=s, padding=p, dilation=d, groups=g).forward(x)
    theirs = F.conv2d(*map(torch.tensor, (x, weight, bias)), s, p, d, g).numpy()
    assert ours.dtype == np.float32 and abs(ours - theirs).max() <= 1e-5 * abs(theirs).max()


def made(filter_size, groups, seed=0):
    draw = np.random.default_rng(seed)
    weight, bias = draw.normal(size=(4, 4 // groups, *filter_size)), draw.normal(size=4)
    return weight, bias, draw.normal(size=(2, 4, 8, 7))


@pytest.mark.parametrize(("size", "s", "p", "d", "g"), GRID)
def test_it_is_torchs_with_every_gradient(size, s, p, d, g):
    weight, bias, x = made(size, g)
    layer = Convolution(weight, bias, stride=s, padding=p, dilation=d, groups=g)
    agrees(layer, lambda w, x: F.conv2d(x, w["weight"], w["bias"], s, p, d, g), x)


@pytest.mark.parametrize(("size", "s", "p", "d", "g"), GRID[::5])
def test_it_is_its_matrix_times_the_flattened_images(size, s, p, d, g):
    weight, bias, x = made(size, g)
    options = {"stride": s, "padding": p, "dilation": d, "groups": g}
    y = Convolution(weight, bias, **options).forward(x)
    M = ConvolutionMatrix(weight, bias, x.shape[2:], **options).matrix()
    np.testing.assert_allclose(x.reshape(2, -1) @ M.T + np.repeat(bias, y[0, 0].size), y.reshape(2, -1), rtol=1e-12,
                               atol=1e-12)
    if p == 0:
        assert np.count_nonzero(M) == y[0].size * weight[0].size  # every product of the layer is one entry


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 3)])
def test_a_flipped_filter_correlates_as_mathematics_convolves(size):
    weight, bias, x = made(size, 1)
    ours = Convolution(np.ascontiguousarray(weight[:, :, ::-1, ::-1]), bias).forward(x)
    np.testing.assert_allclose(ours, TrueConvolution(weight, bias).forward(x), rtol=1e-13, atol=1e-13)
    whole = sum(convolve(x[0, c], weight[0, c], "valid") for c in range(4)) + bias[0]
    np.testing.assert_allclose(ours[0, 0], whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_loops(seed):
    draw = np.random.default_rng(seed)
    g = int(draw.choice((1, 2)))
    weight, bias, x = made(tuple(draw.integers(1, 4, 2)), g, seed)
    options = {"stride": int(draw.integers(1, 3)), "padding": int(draw.integers(0, 3)), "groups": g,
               "dilation": int(draw.integers(1, 3))}
    np.testing.assert_allclose(Convolution(weight, bias, **options).forward(x), by_loops(x, weight, bias, **options),
                               rtol=1e-12, atol=1e-12)


def test_without_bias_there_is_none():
    weight, _, x = made((3, 3), 1)
    layer = Convolution(weight)
    agrees(layer, lambda w, x: F.conv2d(x, w["weight"]), x)
    assert list(layer.grads) == ["weight"]


def test_without_the_input_gradient_the_others_are_the_same():
    weight, bias, x = made((3, 3), 1)
    layer = Convolution(weight, bias)
    grad = np.ones_like(layer.forward(x))
    layer.backward(grad)
    whole, layer.wants_input_gradient = layer.grads, False
    assert layer.backward(grad).size == 0
    assert all(np.array_equal(whole[name], layer.grads[name]) for name in whole)


def test_an_empty_batch_has_zero_gradients():
    weight, bias, x = made((3, 3), 2)
    layer = Convolution(weight, bias, padding=1, groups=2)
    y = layer.forward(x[:0])
    assert y.shape == (0, 4, 8, 7)
    assert layer.backward(y).shape == (0, 4, 8, 7)
    assert not layer.grads["weight"].any() and not layer.grads["bias"].any()


def test_images_in_any_memory_order_give_the_same():
    weight, bias, x = made((3, 3), 1)
    layer = Convolution(weight, bias)
    y = layer.forward(x)
    for order in ((1, 2, 3, 0), (0, 2, 3, 1)):
        turned = np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
        assert np.array_equal(layer.forward(turned), y)


def test_wrong_shapes_are_refused_in_one_sentence():
    with pytest.raises(UserError, match=r"\(batch, 4, height, width\), not \(2, 3, 8, 7\)"):
        Convolution(np.ones((2, 4, 3, 3))).forward(np.ones((2, 3, 8, 7)))
    with pytest.raises(UserError, match="does not fit"):
        Convolution(np.ones((2, 4, 9, 3))).forward(np.ones((2, 4, 8, 7)))
    with pytest.raises(UserError, match="dealt out"):
        Convolution(np.ones((3, 2, 3, 3)), groups=2)
