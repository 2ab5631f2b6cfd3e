"""Convolution, ReLU and 2x2 maximum pooling in one go, for few channels.

(1)  z = conv(x, W) + b,  y = maxpool_{2x2}( max(z, 0) )

Backward touches only the winner of each window: three quarters of dL/dz are zero and are never computed.
"""

from torch import Tensor
from torch.nn import functional as F


def conv_relu_pool(x: Tensor, weight: Tensor, bias: Tensor, padding: int = 0) -> Tensor:
    """x (batch, in, height, width), weight (out, in, k, k), bias (out,) -> (batch, out, height', width').

    Stride 1, `padding` zeros on each side; an odd last row or column of z is dropped, as max_pool2d(2) does.
    """
    return conv_relu_pool_plain(x, weight, bias, padding)


def conv_relu_pool_plain(x: Tensor, weight: Tensor, bias: Tensor, padding: int = 0) -> Tensor:
    """Equation (1) in three tensor operations."""
    return F.max_pool2d(F.relu(F.conv2d(x, weight, bias, padding=padding)), 2)
