"""A circle inside a circle: linear in the squared radius, not in the coordinates.

`circles:N` asks for N points in all, 600 unless said.
"""

import math

import torch
from torch import Generator, Tensor

from shinso.data.examples import Dataset
from shinso.data.points import points


def load(argument: str) -> Dataset:
    """The data set with `argument` points."""
    return points("circles", ("outer", "inner"), argument, draw)


def draw(n: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Points (n, 2) on circles of radius 1 (class 0) and 0.5 (class 1) with noise 0.08."""
    targets = torch.arange(n) % 2
    angle = 2 * math.pi * torch.rand(n, generator=rng)
    radius = torch.where(targets == 0, 1.0, 0.5)[:, None]
    ring = torch.stack([angle.cos(), angle.sin()], 1) * radius
    return ring + 0.08 * torch.randn(n, 2, generator=rng), targets
