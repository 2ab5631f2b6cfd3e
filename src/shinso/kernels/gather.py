"""Rows of a resident uint8 tensor by index, as normalised float32, in one pass over memory.

(1)  y[b, c, ...] = (x[index[b], c, ...] / 255 - mean[c]) / std[c]
"""

import torch
from torch import Tensor

from shinso.kernels.native import native


def normalised_rows(data: Tensor, index: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Examples `index` (batch,) int64 of uint8 `data` (n, channels, ...) as float32; `mean`, `std` are (channels,).

    No gradient flows: the data are integers. An index out of range raises IndexError.
    """
    usable = (data.device.type == index.device.type == "cpu" and data.dtype == torch.uint8 and data.is_contiguous()
              and index.dtype == torch.int64 and index.dim() == 1 and data.dim() > 1
              and mean.dtype == std.dtype == torch.float32 and mean.shape == std.shape == data.shape[1:2])
    kernel = native("gather") if usable else None
    if kernel is None or mean.requires_grad or std.requires_grad:
        return normalised_rows_plain(data, index, mean, std)
    rows = torch.empty((len(index), *data.shape[1:]))
    flat = (-1, data.shape[1], data[0, 0].numel()) if len(data) else (0, data.shape[1], 0)
    if not kernel.rows(data.numpy().reshape(flat), index.numpy(), mean.numpy(), std.numpy(),
                       rows.numpy().reshape(len(index), *flat[1:])):
        raise IndexError("index out of range in normalised_rows")
    return rows


def normalised_rows_plain(data: Tensor, index: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Equation (1) in four tensor operations."""
    shape = (1, -1) + (1,) * (data.dim() - 2)
    rows = data.index_select(0, index)
    return rows.to(torch.float32).div_(255).sub_(mean.view(shape)).div_(std.view(shape))
