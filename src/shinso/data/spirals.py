"""Two spirals that wind around each other: hard for smooth networks (Lang and Witbrock 1988).

`spirals:N` asks for N points in all, 600 unless said.
"""

import math

import torch
from torch import Generator, Tensor

from shinso.data.examples import Dataset
from shinso.data.points import points

TURNS = 1.75


def load(argument: str) -> Dataset:
    """The data set with `argument` points."""
    return points("spirals", ("first", "second"), argument, draw)


def draw(n: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Points (n, 2) on r = a / (2 pi TURNS), the second spiral turned by half a turn, with noise 0.02."""
    targets = torch.arange(n) % 2
    angle = 2 * math.pi * TURNS * torch.rand(n, generator=rng).sqrt()
    radius = angle / (2 * math.pi * TURNS)
    sign = torch.where(targets == 0, 1.0, -1.0)
    arm = torch.stack([radius * angle.cos(), radius * angle.sin()], 1) * sign[:, None]
    return arm + 0.02 * torch.randn(n, 2, generator=rng), targets
