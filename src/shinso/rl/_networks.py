"""Networks that give every action's value at once: from numbers, from small pixels, and the two of the papers."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from shinso.core.errors import UserError
from shinso.optim.adam import Adam
from shinso.rl._by_hand import flattened, is_perceptron, layers, values


class Pixels(nn.Module):
    """Bytes 0..255 as floats 0..1."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float() / 255


def mlp(inputs: int, hidden: tuple[int, ...], actions: int) -> nn.Sequential:
    """Numbers to action values; without hidden layers it is a table over one-hot states."""
    widths = (inputs, *hidden, actions)
    layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def nature(frames: int, actions: int) -> nn.Sequential:
    """The network of 2015 for frames of 84 x 84: 1,684,128 + 513 A parameters with 4 frames."""
    return nn.Sequential(
        Pixels(), nn.Conv2d(frames, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, actions),
    )  # fmt: skip


def nips(frames: int, actions: int) -> nn.Sequential:
    """The network of 2013 for frames of 84 x 84: 676,144 + 257 A parameters with 4 frames."""
    return nn.Sequential(
        Pixels(), nn.Conv2d(frames, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(2592, 256), nn.ReLU(), nn.Linear(256, actions),
    )  # fmt: skip


def small(frames: int, actions: int) -> nn.Sequential:
    """The same idea for frames of 21 x 21."""
    return nn.Sequential(
        Pixels(), nn.Conv2d(frames, 16, 3, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(288, 64), nn.ReLU(), nn.Linear(64, actions),
    )  # fmt: skip


def network(kind: str, shape: tuple[int, ...], actions: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """The network `kind` for observations of `shape`. Raises UserError where it cannot see them."""
    if kind == "mlp":
        if len(shape) != 1:
            raise UserError("network", f"mlp cannot see observations of shape {shape}", "take small, nips or nature")
        return mlp(shape[0], hidden, actions)
    make, size = {"small": (small, 21), "nips": (nips, 84), "nature": (nature, 84)}[kind]
    if len(shape) != 3 or shape[1:] != (size, size):
        raise UserError("network", f"{kind} wants frames of {size} x {size}, the world shows {shape}",
                        f"set size={size} for catch, or take network=mlp for numbers")
    return make(shape[0], actions)


def descent(net: nn.Module, kind: str, lr: float) -> torch.optim.Optimizer:
    """Adam, or RMSprop as Mnih et al. 2015 used it; the network's parameters become views of one."""
    flat = flattened(net)
    if kind == "adam":
        return Adam([flat], lr, fused=True)
    return torch.optim.RMSprop([flat], lr, alpha=0.95, eps=0.01, centered=True)


def count(make: Callable[[int, int], nn.Module], actions: int) -> int:
    """Parameters of a pixel network over 4 frames; nothing is allocated."""
    with torch.device("meta"):
        return sum(p.numel() for p in make(4, actions).parameters())


def value_function(net: nn.Module, weights: dict[str, Tensor], device: str) -> Callable[[np.ndarray], np.ndarray]:
    """Observations (n, *shape) to values (n, A); a plain MLP is computed by NumPy: one look is 5 times quicker."""
    if is_perceptron(net):
        arrays = layers(weights)
        return lambda seen: values(arrays, seen)

    @torch.no_grad()
    def by_torch(seen: np.ndarray) -> np.ndarray:
        return torch.func.functional_call(net, weights, (torch.from_numpy(seen).to(device),)).cpu().numpy()

    return by_torch
