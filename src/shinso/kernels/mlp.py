"""A whole multi-layer perceptron with its loss: Linear, ReLU, ..., Linear, softmax cross-entropy.

(1)  h_0 = x,  z_l = h_{l-1} W_l^T + b_l,  h_l = max(z_l, 0)
(2)  L = mean_b ( log sum_k exp z_bk - z_{b, y_b} )
(3)  dL/dz = (softmax(z) - onehot(y)) / batch, then back through (1)

Where most of x is one value, as in pictures with an even background, the first layer multiplies only the rest.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.kernels.native import module, native, run_plain_backward, supported


def mlp_cross_entropy(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The mean loss (2), a scalar: inputs (batch, features), targets (batch,) int64, weights (out, in), biases (out,).

    Targets below zero or beyond the classes are left to the twin: -100 is not counted, the others are errors.
    """
    sizes = _sizes(inputs, targets, weights, biases)
    if sizes and supported(inputs, *weights, *biases):
        kernel = native("mlp")
        if kernel is not None and kernel.within(targets.numpy(), sizes[-1]):
            return _MlpCrossEntropy.apply(targets, np.array(sizes), inputs, *weights, *biases)
    return mlp_cross_entropy_plain(inputs, targets, weights, biases)


def mlp_cross_entropy_plain(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor],
                            biases: Sequence[Tensor]) -> Tensor:
    """Equations (1) and (2) in tensor operations."""
    hidden = inputs
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = F.relu(F.linear(hidden, weight, bias))
    return F.cross_entropy(F.linear(hidden, weights[-1], biases[-1]), targets)


def mlp_gradient(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The loss (2), detached, with its gradients (3) left in `.grad` of weights and biases, whatever stood there.

    No tape is recorded, which is a fifth of a small network's step. The weights are leaves that want gradients.
    """
    parameters = (*weights, *biases)
    sizes = _sizes(inputs, targets, weights, biases)
    kernel = native("mlp") if sizes and supported(inputs, *parameters) else None
    if kernel is None or not kernel.within(targets.numpy(), sizes[-1]):
        return mlp_gradient_plain(inputs, targets, weights, biases)
    for parameter in parameters:
        if parameter.grad is None or not parameter.grad.is_contiguous():
            parameter.grad = torch.empty_like(parameter, memory_format=torch.contiguous_format)
    inputs, batch, units = inputs.contiguous(), inputs.shape[0], np.array(sizes)
    kept, loss, one = torch.empty(batch * sum(sizes[1:])), torch.empty(()), torch.ones(())
    table, lists = _addresses(parameters), kernel.listed(inputs.data_ptr(), batch, units)
    kernel.forward(_addresses((inputs, targets, kept, loss)), table, units, batch, lists)
    found = _addresses((None, *(parameter.grad for parameter in parameters)))
    kernel.backward(_addresses((inputs, targets, kept, one)), table, found, units, batch, lists)
    return loss


def mlp_gradient_plain(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The same by automatic differentiation."""
    for parameter in (*weights, *biases):
        parameter.grad = None
    loss = mlp_cross_entropy_plain(inputs, targets, weights, biases)
    loss.backward()
    return loss.detach()


def _sizes(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> list[int]:
    """Units of every layer, the inputs first; empty where shapes or memory are not what the native form takes."""
    if inputs.dim() != 2 or targets.dtype != torch.int64 or not weights or len(weights) != len(biases):
        return []
    batch, width = inputs.shape
    if batch * width == 0 or targets.shape != (batch,) or not targets.is_cpu or not targets.is_contiguous():
        return []
    sizes = [width]
    for weight, bias in zip(weights, biases, strict=True):
        shape = weight.shape
        if len(shape) != 2 or shape[1] != sizes[-1] or shape[0] == 0 or bias.shape != shape[:1]:
            return []
        if not (weight.is_contiguous() and bias.is_contiguous()):
            return []
        sizes.append(shape[0])
    return sizes


class _MlpCrossEntropy(torch.autograd.Function):
    """Forward keeps every h_l and softmax(z); backward is one native call that runs (3)."""

    @staticmethod
    def forward(ctx, targets: Tensor, sizes: np.ndarray, inputs: Tensor, *parameters: Tensor) -> Tensor:
        inputs, batch = inputs.contiguous(), inputs.shape[0]
        kept, loss = torch.empty(batch * int(sizes[1:].sum())), torch.empty(())
        kernel, table = module("mlp"), _addresses(parameters)
        lists = kernel.listed(inputs.data_ptr(), batch, sizes)
        kernel.forward(_addresses((inputs, targets, kept, loss)), table, sizes, batch, lists)
        ctx.save_for_backward(targets, inputs, kept, *parameters)
        ctx.sizes, ctx.table, ctx.lists = sizes, table, lists
        return loss

    @staticmethod
    def backward(ctx, grad: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride] - one output, one gradient
        targets, inputs, kept, *parameters = ctx.saved_tensors
        needed, depth = ctx.needs_input_grad[2:], len(parameters) // 2
        if torch.is_grad_enabled():
            plain = lambda x, *p: mlp_cross_entropy_plain(x, targets, p[:depth], p[depth:])  # noqa: E731
            return None, None, *run_plain_backward(plain, (inputs, *parameters), needed, grad)
        found = [torch.empty_like(t) if need else None for t, need in zip((inputs, *parameters), needed, strict=True)]
        buffers = _addresses((inputs, targets, kept, grad.contiguous()))
        module("mlp").backward(buffers, ctx.table, _addresses(found), ctx.sizes, inputs.shape[0], ctx.lists)
        return None, None, *found


def _addresses(tensors: Sequence[Tensor | None]) -> np.ndarray:
    """Where the elements begin; 0 for None."""
    return np.array([0 if t is None else t.data_ptr() for t in tensors], np.int64)
