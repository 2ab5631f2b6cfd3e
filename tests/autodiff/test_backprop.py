"""The formulas of the slides' net against torch's autograd, on nets of many widths."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from shinso.autodiff.backprop import ThreeLayers, composition_jacobian, layer_jacobians, sigmoid_slope

WIDTHS = [(4, 5, 3, 2), (1, 1, 1, 1), (2, 7, 1, 3), (6, 2, 2, 6)]


def net(widths, seed):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, 1.5, (n, m)) for m, n in pairwise(widths)]
    return ThreeLayers(*weights), rng.normal(size=widths[0]), rng.uniform(size=widths[-1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("widths", WIDTHS)
def test_every_weight_gradient_equals_torch(widths, seed):
    ours, x, t = net(widths, seed)
    weights = [torch.tensor(W, requires_grad=True) for W in ours.weights]
    h = torch.tensor(x)
    for W in weights:
        h = torch.sigmoid(W @ h)
    error = 0.5 * (torch.tensor(t) - h).square().sum()
    error.backward()
    assert ours.error(x, t) == pytest.approx(error.item(), rel=1e-14)
    for found in (ours.gradients(x, t), ours.gradients_by_paths(x, t)):
        for mine, theirs in zip(found, weights, strict=True):
            assert np.abs(mine - theirs.grad.numpy()).max() < 1e-12


def test_the_first_weight_of_each_layer_is_the_slides_sum():
    ours, x, t = net((2, 2, 2, 2), 3)
    u, h = ours.units(x)
    s, back = [sigmoid_slope(each) for each in u], h[3] - t
    second = sum(back[k] * s[2][k] * ours.W3[k, 0] * s[1][0] * h[1][0] for k in (0, 1))
    first = sum(back[k] * s[2][k] * ours.W3[k, j] * s[1][j] * ours.W2[j, 0] * s[0][0] * x[0]
                for k in (0, 1) for j in (0, 1))  # fmt: skip
    found = [g[0, 0] for g in ours.gradients(x, t)]
    assert found == pytest.approx([first, second, back[0] * s[2][0] * h[2][0]], rel=1e-14)


@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (4, 1)])
def test_layer_jacobians_equal_torch(shape):
    rng = np.random.default_rng(7)
    W, x = rng.normal(size=shape), rng.normal(size=shape[1])

    def layer(W, x):
        return torch.sigmoid(W @ x)

    theirs = torch.autograd.functional.jacobian(layer, (torch.tensor(W), torch.tensor(x)))
    for mine, other in zip(layer_jacobians(W, x), theirs, strict=True):
        assert mine.shape == tuple(other.shape)
        assert np.abs(mine - other.numpy()).max() < 1e-12


@pytest.mark.parametrize("seed", range(10))
def test_the_chain_of_random_widths_equals_torch(seed):
    rng = np.random.default_rng(seed)
    widths = rng.choice(np.arange(2, 9), 4, replace=False)
    layers = [rng.normal(size=(n, m)) for m, n in pairwise(widths)]
    x = rng.normal(size=widths[0])

    def whole(x):
        for W in layers:
            x = torch.sigmoid(torch.tensor(W) @ x)
        return x

    theirs = torch.autograd.functional.jacobian(whole, torch.tensor(x)).numpy()
    product, factors = composition_jacobian(layers, x)
    assert np.abs(product - theirs).max() < 1e-12
    with pytest.raises(ValueError, match="mismatch"):
        factors[0] @ factors[1] @ factors[2]
