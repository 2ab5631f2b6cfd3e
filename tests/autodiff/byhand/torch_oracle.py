"""A layer by hand beside torch's autograd: same inputs, same parameters, same gradient from above."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def agrees(layer: Any, reference: Callable[..., Tensor], *inputs: np.ndarray, within: float = 1e-12) -> None:
    """Forward, the gradient of every input and of every parameter; `reference(params, *inputs)` in torch."""
    value = layer.forward(*inputs)
    theirs = [torch.tensor(x, requires_grad=True) for x in inputs]
    params = {name: torch.tensor(p, requires_grad=True) for name, p in layer.params.items()}
    out = reference(params, *theirs)
    np.testing.assert_allclose(value, out.detach().numpy(), rtol=within, atol=within)
    grad = np.random.default_rng(1).normal(size=value.shape)
    mine = layer.backward(grad)
    out.backward(torch.tensor(grad))
    for x, g in zip(theirs, mine if isinstance(mine, tuple) else (mine,), strict=True):
        np.testing.assert_allclose(g, x.grad.numpy(), rtol=within, atol=within)
    for name, p in params.items():
        np.testing.assert_allclose(layer.grads[name], p.grad.numpy(), rtol=within, atol=within, err_msg=name)
