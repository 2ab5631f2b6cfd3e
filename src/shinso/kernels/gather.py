"""Rows of a resident uint8 tensor by index, as normalised float32, in one pass over memory.

(1)  y[b, c, ...] = (x[index[b], c, ...] / 255 - mean[c]) / std[c]
"""

import math

import torch
from torch import Tensor

from shinso.kernels.native import native


def normalised_rows(data: Tensor, index: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Examples `index` (batch,) int64 of uint8 `data` (n, channels, ...) as float32; `mean`, `std` are (channels,).

    No gradient flows: the data are integers. An index out of range raises IndexError.
    """
    kernel = native("gather") if _usable(data, index, mean, std) else None
    if kernel is None:
        return normalised_rows_plain(data, index, mean, std)
    shape, batch = data.shape, index.shape[0]
    rows = torch.empty((batch, *shape[1:]))
    sizes = shape[0], shape[1], math.prod(shape[2:]), batch
    if not kernel.rows(data.data_ptr(), index.data_ptr(), mean.data_ptr(), std.data_ptr(), rows.data_ptr(), sizes):
        raise IndexError("index out of range in normalised_rows")
    return rows


def _usable(data: Tensor, index: Tensor, mean: Tensor, std: Tensor) -> bool:
    """What the native form takes: contiguous tensors in the CPU's memory that nobody differentiates."""
    if data.dtype != torch.uint8 or index.dtype != torch.int64 or mean.dtype != torch.float32 or data.dim() < 2:
        return False
    if mean.shape != data.shape[1:2] or std.shape != mean.shape or std.dtype != torch.float32 or index.dim() != 1:
        return False
    return all(t.is_cpu and t.is_contiguous() and not t.requires_grad for t in (data, index, mean, std))


def normalised_rows_plain(data: Tensor, index: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Equation (1) in four tensor operations."""
    shape = (1, -1) + (1,) * (data.dim() - 2)
    rows = data.index_select(0, index)
    return rows.to(torch.float32).div_(255).sub_(mean.view(shape)).div_(std.view(shape))
