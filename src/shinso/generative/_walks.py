"""Sheets that show a latent space: draws from the prior, walks along dimensions, ways from one picture to another."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from shinso.core.seed import generator
from shinso.generative._images import sheet

Decode = Callable[[Tensor], Tensor]
"""codes (n, latent) -> pictures in 0..1 (n, channels, height, width) on the CPU"""


@torch.no_grad()
def draw(posterior: Callable[[Tensor], tuple[Tensor, Tensor]], decode: Decode, latent: int, seed: int,
         x: Tensor | None = None, busiest: Sequence[int] = ()) -> dict[str, np.ndarray]:
    """Every sheet a VAE can show; those that begin at a picture need 40 pictures `x`.

    `busiest` lists the dimensions to walk along. The manifold is drawn for two dimensions, the traversal for more.
    """
    drawn = {"samples": sheet(decode(torch.randn(100, latent, generator=generator(seed, "pictures"))), 10)}
    if latent == 2:
        drawn["manifold"] = sheet(decode(quantiles(20)), 20, scale=1)
    if x is None:
        return drawn
    mean = posterior(x)[0].cpu()
    pairs = torch.stack([x.cpu(), decode(mean)], dim=1).unflatten(0, (4, 10)).transpose(1, 2)
    drawn["reconstructions"] = sheet(pairs.flatten(0, 2), 10)
    share = torch.linspace(0, 1, 10).view(1, 10, 1)
    drawn["interpolation"] = sheet(decode(torch.lerp(mean[:8, None], mean[8:16, None], share).flatten(0, 1)), 10)
    if latent > 2:
        drawn["traversal"] = sheet(decode(walks(mean[0], busiest)), 11)
    return drawn


def walks(centre: Tensor, dimensions: Sequence[int]) -> Tensor:
    """From one code (latent,) along each dimension, -2.5 to 2.5 in 11 steps: (11 * rows, latent)."""
    codes = centre.repeat(len(dimensions), 11, 1)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = torch.linspace(-2.5, 2.5, 11)
    return codes.flatten(0, 1)


def quantiles(side: int) -> Tensor:
    """Codes (side^2, 2) at the quantiles of N(0, 1), equal steps of probability as in the VAE paper's figure 4."""
    steps = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    rows, columns = torch.meshgrid(-steps, steps, indexing="ij")
    return torch.stack([columns, rows], dim=-1).flatten(0, 1)
