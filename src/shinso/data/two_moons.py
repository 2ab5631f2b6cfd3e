"""Two interleaving half circles with noise: a curved border.

`two-moons:N` asks for N points in all, 600 unless said.
"""

import math

import torch
from torch import Generator, Tensor

from shinso.data.examples import Dataset
from shinso.data.points import points


def load(argument: str) -> Dataset:
    """The data set with `argument` points."""
    return points("two-moons", ("upper", "lower"), argument, draw)


def draw(n: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Points (n, 2) on the arcs (cos a, sin a) and (1 - cos a, 1/2 - sin a), 0 <= a <= pi, with noise 0.1."""
    targets = torch.arange(n) % 2
    angle = math.pi * torch.rand(n, generator=rng)
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    return torch.where(targets[:, None] == 0, upper, lower) + 0.1 * torch.randn(n, 2, generator=rng), targets
