"""Convolution, ReLU and 2x2 maximum pooling in one go, for few channels.

(1)  z = conv(x, W) + b,  y = maxpool_{2x2}( max(z, 0) )

Backward touches only the winner of each window: three quarters of dL/dz are zero and are never computed.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.kernels.native import module, native, run_plain_backward, supported


def conv_relu_pool(x: Tensor, weight: Tensor, bias: Tensor, padding: int = 0) -> Tensor:
    """x (batch, in, height, width), weight (out, in, k, k), bias (out,) -> (batch, out, height', width').

    Stride 1, `padding` zeros on each side; an odd last row or column of z is dropped, as max_pool2d(2) does. A zero
    gradient adds nothing, even where an input is not finite.
    """
    kernel = native("conv_pool") if _regular(x, weight, bias, padding) and supported(x, weight, bias) else None
    if kernel is None or not kernel.fits(weight):
        return conv_relu_pool_plain(x, weight, bias, padding)
    return _ConvReluPool.apply(x, weight, bias, padding)


def conv_relu_pool_plain(x: Tensor, weight: Tensor, bias: Tensor, padding: int = 0) -> Tensor:
    """Equation (1) in three tensor operations."""
    return F.max_pool2d(F.relu(F.conv2d(x, weight, bias, padding=padding)), 2)


def _regular(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> bool:
    """Shapes that the native form takes; what is left over goes to the twin, which also finds the words for errors."""
    return (x.dim() == weight.dim() == 4 and x.shape[1] == weight.shape[1] > 0 and len(weight) > 0
            and weight.shape[2] == weight.shape[3] > 0 and bias.shape == weight.shape[:1] and padding >= 0
            and min(x.shape[2:]) + 2 * padding > weight.shape[2])


class _ConvReluPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
        height, width = ((size + 2 * padding - weight.shape[2] + 1) // 2 for size in x.shape[2:])
        y = torch.empty(len(x), len(weight), height, width)
        winner = torch.empty(y.shape, dtype=torch.uint8)
        arrays = [t.detach().numpy() for t in (x, weight, bias)]
        module("conv_pool").forward(*arrays, padding, y.numpy(), winner.numpy())
        ctx.save_for_backward(x, weight, bias, winner)
        ctx.padding = padding
        return y

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride] - one output, one gradient
        x, weight, bias, winner = ctx.saved_tensors
        if torch.is_grad_enabled():
            plain = lambda x, w, b: conv_relu_pool_plain(x, w, b, ctx.padding)  # noqa: E731
            return *run_plain_backward(plain, (x, weight, bias), ctx.needs_input_grad[:3], grad), None
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        grad_weight, grad_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        into_x = np.empty((0, 0, 0, 0), np.float32) if grad_x is None else grad_x.numpy()
        arrays = [t.detach().numpy() for t in (grad.contiguous(), winner, x, weight)]
        module("conv_pool").backward(*arrays, ctx.padding, into_x, grad_weight.numpy(), grad_bias.numpy())
        return grad_x, grad_weight, grad_bias, None
