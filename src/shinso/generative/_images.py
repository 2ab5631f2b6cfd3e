"""Images in and out of generative networks: the scale they are read on, and many of them as one sheet."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from shinso.core.errors import UserError
from shinso.data.examples import Dataset


def sheet(images: Tensor, columns: int, scale: int = 2) -> np.ndarray:
    """Images (n, channels 1 or 3, height, width) in 0..1, row by row, as uint8 (rows, columns, 3) with grey seams."""
    images = images.detach().float().cpu().clamp(0, 1)
    images = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    images = images.expand(-1, 3, -1, -1)
    missing = -len(images) % columns
    images = F.pad(torch.cat([images, images.new_zeros(missing, *images.shape[1:])]), (0, 1, 0, 1), value=0.5)
    rows, height, width = len(images) // columns, images.shape[2], images.shape[3]
    whole = images.view(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    return (whole.reshape(rows * height, columns * width, 3)[:-1, :-1] * 255).round().to(torch.uint8).numpy()


def on_scale(data: Dataset, low: float, high: float) -> Dataset:
    """The same images read on the scale low..high instead of normalised; points are refused."""
    if len(data.about.shape) != 3:
        raise UserError(f"data '{data.about.name}'", "points are no pixels", "use images, for example digits or mnist")
    channels, width = data.about.shape[0], high - low
    return replace(data, about=replace(data.about, mean=(-low / width,) * channels, std=(1 / width,) * channels))
