"""Confusion matrix: how often class i was taken for class j."""

import torch
from torch import Tensor


def confusion(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts int64 (classes, classes); rows are the true classes, so row sums are class sizes and the trace the hits.

    `predicted` and `targets` are int64 (n,) in 0..classes-1.
    """
    return torch.bincount(targets * classes + predicted, minlength=classes * classes).view(classes, classes)
