"""The 1x1 convolution is a linear layer over the channels, and weights go both ways."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch_oracle import agrees

from shinso.autodiff.byhand.affine import Affine
from shinso.autodiff.byhand.pointwise_convolution import PointwiseConvolution, example


def test_it_is_torchs_conv2d_with_every_gradient():
    layer, (x,) = example(np.random.default_rng(0))
    agrees(layer, lambda p, x: F.conv2d(x, p["weight"][:, :, None, None], p["bias"]), x)


def test_weights_of_a_linear_layer_give_the_same_and_back():
    linear = nn.Linear(3, 2).double()
    ours = PointwiseConvolution(linear.weight.detach().numpy(), linear.bias.detach().numpy())
    x = np.random.default_rng(0).normal(size=(4, 3, 5, 6))
    with torch.no_grad():
        theirs = linear(torch.tensor(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).numpy()
    np.testing.assert_allclose(ours.forward(x), theirs, rtol=1e-14, atol=1e-14)
    affine = Affine(ours.params["weight"].T, ours.params["bias"])
    pixels = x.transpose(0, 2, 3, 1).reshape(-1, 3)
    np.testing.assert_allclose(affine.forward(pixels).reshape(4, 5, 6, 2).transpose(0, 3, 1, 2), theirs, rtol=1e-14,
                               atol=1e-14)
