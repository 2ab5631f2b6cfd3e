"""Noise that follows from a seed and a name alone: no generator is saved, and a resumed run is bit-identical."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from shinso.core.seed import generator


def gaussian(w: Tensor, seed: int, name: str) -> Tensor:
    """Standard normal numbers shaped like w, of its type and on its device, whatever its order in memory."""
    draw = generator(seed, name, str(w.device))
    return torch.randn(w.shape, generator=draw, dtype=w.dtype, device=w.device)


def in_ball(weights: Sequence[Tensor], radius: float, seed: int, name: str) -> list[Tensor]:
    """One point, uniform in the ball of this radius around 0 in all dimensions of all weights together.

    A normal direction has no favourite; the share of the ball within rho radius is rho^d, so the length is U^(1/d).
    """
    directions = [gaussian(w, seed, f"{name}/{place}") for place, w in enumerate(weights)]
    uniform = float(torch.rand((), generator=generator(seed, f"{name}/length"), dtype=torch.float64))
    length = radius * uniform ** (1 / sum(w.numel() for w in weights))
    scale = length / joint_norm(directions)
    return [scale * direction for direction in directions]


def joint_norm(tensors: Sequence[Tensor]) -> float:
    """The Euclidean length of all of them as one vector."""
    return float(torch.stack([tensor.norm().double().cpu() for tensor in tensors]).norm())


def number(loss: Any) -> float:
    """What a closure returned, as a number without its graph."""
    return float(loss.detach()) if isinstance(loss, Tensor) else float(loss)


def refuse(w: Tensor, g: Tensor, name: str) -> None:
    """RuntimeError for what has no such noise: sparse gradients, complex weights."""
    if g.is_sparse:
        raise RuntimeError(f"{name} does not support sparse gradients")
    if w.is_complex():
        raise RuntimeError(f"{name} does not support complex parameters")
