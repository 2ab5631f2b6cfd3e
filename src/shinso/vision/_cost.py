"""What a network costs: trained parameters, multiplications and connections, counted on the real layers.

A layer that connects in a way of its own says how with `connections_of(output)`.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from shinso.inside import layer_table
from shinso.inside.watching import watching


def trained(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


def products(network: nn.Module, shape: Sequence[int]) -> int:
    """Multiplications for one input of `shape` in evaluation mode, on the network's device or on none (meta)."""
    return layer_table.products(network, _zeros(network, shape))


@torch.no_grad()
def connections(network: nn.Module, shape: Sequence[int]) -> dict[str, int]:
    """Connections of each layer as LeCun et al. count them: every weight and every bias, once for each place."""
    counted: dict[str, int] = {}

    def count(name: str, layer: nn.Module, output: Tensor) -> None:
        if hasattr(layer, "connections_of"):
            counted[name] = layer.connections_of(output)  # pyright: ignore[reportCallIssue]
        elif isinstance(layer, (nn.Conv2d, nn.Linear)):
            counted[name] = trained(layer) * (output[0].numel() // output.shape[1])

    with watching(network, count):
        network(_zeros(network, shape))
    return counted


def _zeros(network: nn.Module, shape: Sequence[int]) -> Tensor:
    some = next(chain(network.parameters(), network.buffers()), torch.zeros(()))
    return torch.zeros(1, *shape, device=some.device)
