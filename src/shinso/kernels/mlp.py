"""A whole multi-layer perceptron with its loss: Linear, ReLU, ..., Linear, softmax cross-entropy.

(1)  h_0 = x,  z_l = h_{l-1} W_l^T + b_l,  h_l = max(z_l, 0)
(2)  L = mean_b ( log sum_k exp z_bk - z_{b, y_b} )
(3)  dL/dz = (softmax(z) - onehot(y)) / batch, then back through (1)
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def mlp_cross_entropy(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """The mean loss (2), a scalar: inputs (batch, features), targets int64 (batch,), weights (out, in), biases (out,)."""
    return mlp_cross_entropy_plain(inputs, targets, weights, biases)


def mlp_cross_entropy_plain(inputs: Tensor, targets: Tensor, weights: Sequence[Tensor],
                            biases: Sequence[Tensor]) -> Tensor:
    """Equations (1) and (2) in tensor operations."""
    hidden = inputs
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = F.relu(F.linear(hidden, weight, bias))
    return F.cross_entropy(F.linear(hidden, weights[-1], biases[-1]), targets)
