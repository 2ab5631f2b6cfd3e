"""A whole multi-layer perceptron with its loss: Linear, ReLU, ..., Linear, softmax cross-entropy.

(1)  h_0 = x,  z_l = h_{l-1} W_l^T + b_l,  h_l = max(z_l, 0)
(2)  L = mean_b ( log sum_k exp z_bk - z_{b, y_b} )
(3)  dL/dz = (softmax(z) - onehot(y)) / batch, then back through (1)
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.kernels.native import native, run_plain_backward, supported


def mlp_cross_entropy(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The mean loss (2), a scalar: inputs (batch, features), targets (batch,) int64, weights (out, in), biases (out,).

    Targets below zero or beyond the classes are left to the twin: -100 is not counted, the others are errors.
    """
    parameters = (*weights, *biases)
    usable = _regular(inputs, targets, weights, biases) and supported(inputs, *parameters)
    if not usable or native("mlp") is None:
        return mlp_cross_entropy_plain(inputs, targets, weights, biases)
    if not native("mlp").within(targets.numpy(), len(biases[-1])):
        return mlp_cross_entropy_plain(inputs, targets, weights, biases)
    return _MlpCrossEntropy.apply(targets, inputs, *parameters)


def mlp_cross_entropy_plain(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor],
                            biases: Sequence[Tensor]) -> Tensor:
    """Equations (1) and (2) in tensor operations."""
    hidden = inputs
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = F.relu(F.linear(hidden, weight, bias))
    return F.cross_entropy(F.linear(hidden, weights[-1], biases[-1]), targets)


def _regular(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> bool:
    """Shapes and memory that the native form takes."""
    if inputs.dim() != 2 or len(weights) != len(biases) or not weights or inputs.numel() == 0:
        return False
    width = inputs.shape[1]
    for weight, bias in zip(weights, biases, strict=True):
        if weight.dim() != 2 or weight.shape != (len(bias), width) or bias.dim() != 1 or len(bias) == 0:
            return False
        if not (weight.is_contiguous() and bias.is_contiguous()):
            return False
        width = len(bias)
    return (targets.shape == inputs.shape[:1] and targets.dtype == torch.int64 and targets.device.type == "cpu"
            and targets.is_contiguous())


class _MlpCrossEntropy(torch.autograd.Function):
    """Forward keeps every h_l and softmax(z); backward is one native call that runs (3)."""

    @staticmethod
    def forward(ctx, targets: Tensor, inputs: Tensor, *parameters: Tensor) -> Tensor:
        inputs, depth = inputs.contiguous(), len(parameters) // 2
        sizes = np.array([inputs.shape[1], *map(len, parameters[depth:])])
        kept, loss = torch.empty(len(inputs) * int(sizes[1:].sum())), torch.empty(())
        native("mlp").forward(_addresses(inputs, targets, kept, loss), _addresses(*parameters), sizes, len(inputs))
        ctx.save_for_backward(targets, inputs, kept, *parameters)
        ctx.sizes = sizes
        return loss

    @staticmethod
    def backward(ctx, grad: Tensor):
        targets, inputs, kept, *parameters = ctx.saved_tensors
        needed, depth = ctx.needs_input_grad[1:], len(parameters) // 2
        if torch.is_grad_enabled():
            plain = lambda x, *p: mlp_cross_entropy_plain(x, targets, p[:depth], p[depth:])  # noqa: E731
            return None, *run_plain_backward(plain, (inputs, *parameters), needed, grad)
        found = [torch.empty_like(t) if need else None for t, need in zip((inputs, *parameters), needed, strict=True)]
        native("mlp").backward(_addresses(inputs, targets, kept, grad.contiguous()), _addresses(*parameters),
                               _addresses(*found), ctx.sizes, len(inputs))
        return None, *found


def _addresses(*tensors: Tensor | None) -> np.ndarray:
    """Where the elements begin; 0 for None."""
    return np.array([0 if t is None else t.data_ptr() for t in tensors], np.int64)
