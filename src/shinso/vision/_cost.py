"""What a network costs: trained parameters, multiplications and connections, counted on the real layers.

A layer that is more than one convolution or linear map says its own count with `products_of(output)` or
`connections_of(output)`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def trained(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)


def products(network: nn.Module, shape: Sequence[int]) -> int:
    """Multiplications of convolutions and linear layers for one input of `shape`: weights times places."""

    def count(layer: nn.Module, output: Tensor) -> int:
        return layer.get_parameter("weight").numel() * _places(output)

    return sum(_each_layer(network, shape, "products_of", count).values())


def connections(network: nn.Module, shape: Sequence[int]) -> dict[str, int]:
    """Connections of each layer as LeCun et al. count them: every weight and every bias, once for each place."""

    def count(layer: nn.Module, output: Tensor) -> int:
        return trained(layer) * _places(output)

    return _each_layer(network, shape, "connections_of", count)


def _places(output: Tensor) -> int:
    return output[0].numel() // output.shape[1]


def _each_layer(network: nn.Module, shape: Sequence[int], own: str,
                count: Callable[[nn.Module, Tensor], int]) -> dict[str, int]:
    counted: dict[str, int] = {}
    handles = []
    for name, layer in network.named_modules():
        if hasattr(layer, own) or isinstance(layer, (nn.Conv2d, nn.Linear)):

            def look(layer: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
                counted[name] = getattr(layer, own)(output) if hasattr(layer, own) else count(layer, output)

            handles.append(layer.register_forward_hook(look))
    with torch.no_grad():
        network(torch.zeros(1, *shape))
    for handle in handles:
        handle.remove()
    return counted
