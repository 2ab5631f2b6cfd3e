"""Exclusive or, the four corners of a square with noise: no single line parts the two classes (Minsky and Papert 1969).

`xor:N` asks for N points in all, 600 unless said.
"""

import torch
from torch import Generator, Tensor

from shinso.data.examples import Dataset
from shinso.data.points import points


def load(argument: str) -> Dataset:
    """The data set with `argument` points."""
    return points("xor", ("same", "different"), argument, draw)


def draw(n: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Points (n, 2) around (+-1, +-1) with standard deviation 0.25; class 1 where the signs differ."""
    targets = torch.arange(n) % 2
    first = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0)
    corners = torch.stack([first, torch.where(targets == 1, -first, first)], 1)
    return corners + 0.25 * torch.randn(n, 2, generator=rng), targets
