"""A multi-layer perceptron's values and its descent on remembered moves, without a graph.

The networks of small worlds are so small that keeping a graph costs more than the arithmetic; here the few matrix
products stand by themselves, in NumPy, on the parameters' own memory. It equals the plain path to rounding.

    h_0 = s,  h_l = max(W_l h_{l-1} + b_l, 0),  Q = W_L h_{L-1} + b_L                                 (1)
    dL/dQ(s, a) = clip(Q(s, a) - y, -delta, delta) / n for the action taken, 0 for the others         (2)
    dL/dW_l = (dL/dz_l)^T h_{l-1},  dL/db_l = sum dL/dz_l,  dL/dh_{l-1} = dL/dz_l W_l                 (3)
"""

from typing import final

import numpy as np
import torch
from torch import Tensor, nn

Layers = list[tuple[np.ndarray, np.ndarray]]
"""(W, b) of each layer"""


def is_perceptron(net: nn.Module) -> bool:
    """Whether the network is nothing but Linear and ReLU by turns, on the CPU, so that this file may stand for it."""
    kinds = [type(layer) for layer in net] if isinstance(net, nn.Sequential) else []
    turns = [nn.ReLU if k % 2 else nn.Linear for k in range(len(kinds))]
    return kinds == turns and len(kinds) % 2 == 1 and all(p.device.type == "cpu" for p in net.parameters())


def layers(weights: dict[str, Tensor]) -> Layers:
    """The named parameters of a perceptron as arrays that share their memory."""
    arrays = [value.detach().numpy() for value in weights.values()]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def values(net: Layers, seen: np.ndarray) -> np.ndarray:
    """Equation (1): observations (n, inputs) to action values (n, A)."""
    for weight, bias in net[:-1]:
        seen = np.maximum(seen @ weight.T + bias, 0)  # (1)
    return seen @ net[-1][0].T + net[-1][1]


def flattened(net: nn.Module) -> nn.Parameter:
    """One parameter of which all of the network's are views, gradients too: an optimiser's step is one operation."""
    flat = nn.Parameter(torch.cat([p.detach().flatten() for p in net.parameters()]))
    flat.grad = torch.zeros_like(flat)
    at = 0
    for p in net.parameters():
        p.data = flat.data[at : at + p.numel()].view_as(p)
        p.grad = flat.grad[at : at + p.numel()].view_as(p)
        at += p.numel()
    return flat


@final
class Gradient:
    """Writes the gradient of the mean Huber loss into a perceptron's `.grad`s, which must exist already."""

    def __init__(self, net: nn.Module):
        self.net = layers(dict(net.named_parameters()))
        self.slopes = layers({name: p.grad for name, p in net.named_parameters() if p.grad is not None})

    def __call__(self, seen: np.ndarray, actions: np.ndarray, targets: np.ndarray, delta: float) -> tuple[float, float]:
        """The loss and the mean of Q(s, a): seen (n, inputs), actions int64 (n,), targets (n,)."""
        inputs, rows = [seen], np.arange(len(seen))
        for weight, bias in self.net[:-1]:
            h = inputs[-1] @ weight.T
            h += bias
            inputs.append(np.maximum(h, 0, out=h))
        q = inputs[-1] @ self.net[-1][0].T + self.net[-1][1]
        taken = q[rows, actions]
        x = taken - targets
        c = np.minimum(np.maximum(x, -delta), delta)
        slope = np.zeros_like(q)
        slope[rows, actions] = c / len(x)  # (2)
        for k in range(len(self.net) - 1, -1, -1):
            np.matmul(slope.T, inputs[k], out=self.slopes[k][0])  # (3)
            slope.sum(axis=0, out=self.slopes[k][1])
            if k:
                slope = slope @ self.net[k][0]
                slope *= inputs[k] > 0
        return float(c @ (x - c / 2)) / len(x), float(taken.mean())
