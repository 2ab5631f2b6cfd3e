"""A torch network's gradient computed by NumPy alone, in place: the module's weights and the arrays share memory.

The network is a chain of affine maps with ReLU between them. `recorded` lets shinso.autodiff record it while it runs,
`by_hand` puts the layers of shinso.autodiff.byhand in a row; both leave what torch's backward would leave in `.grad`.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Generator, Tensor, nn

from shinso.autodiff import functions
from shinso.autodiff import tensor as engine
from shinso.autodiff.byhand.affine import Affine
from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.autodiff.byhand.relu import ReLU
from shinso.autodiff.byhand.sequential import Sequential
from shinso.learn.supervised import Batch


def recorded(model: nn.Module, batch: Batch, noise: Generator) -> Mapping[str, Tensor]:
    """The cross entropy, its gradients from the tape."""
    h, weights = _inputs(batch), [engine.Tensor(weight, requires_grad=True) for weight in _arrays(model)]
    last = len(weights) - 2
    for i in range(0, len(weights), 2):
        h = functions.affine(h, weights[i], weights[i + 1])
        h = functions.relu(h) if i < last else h
    loss = functions.cross_entropy(h, batch[1].numpy())
    loss.backward()
    _leave(model, [weight.grad for weight in weights])
    return {"loss": torch.tensor(loss.item(), dtype=batch[0].dtype)}


def by_hand(model: nn.Module, batch: Batch, noise: Generator) -> Mapping[str, Tensor]:
    """The same, each layer's backward written out."""
    arrays = _arrays(model)
    maps = [Affine(weight, bias) for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)]
    maps[0].wants_input_gradient = False
    chain = Sequential(*[layer for one in maps for layer in (one, ReLU())][:-1])
    judge = CrossEntropy()
    loss = judge.forward(chain.forward(_inputs(batch)), batch[1].numpy())
    chain.backward(judge.backward())
    _leave(model, [one.grads[name] for one in maps for name in ("weight", "bias")])
    return {"loss": torch.tensor(float(loss), dtype=batch[0].dtype)}


Gradient = Callable[[nn.Module, Batch, Generator], Mapping[str, Tensor]]
ENGINES: dict[str, Gradient] = {"tape": recorded, "byhand": by_hand}
"""who computes the gradient, by name"""


def _inputs(batch: Batch) -> np.ndarray:
    return batch[0].flatten(1).numpy()


def _arrays(model: nn.Module) -> list[np.ndarray]:
    """weight (in, out) and bias of every layer in their order; torch keeps weights the other way round."""
    found = [parameter.detach().numpy() for parameter in model.parameters()]
    return [array.T if array.ndim == 2 else array for array in found]


def _leave(model: nn.Module, gradients: list[np.ndarray]) -> None:
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = torch.from_numpy(np.ascontiguousarray(gradient.T))
