r"""The affine map: every output is a weighted sum of all inputs, plus its own constant.

    Y = X W + 1 b^T                                           (1)
    dL/dX = G W^T,  dL/dW = X^T G,  dL/db = G^T 1             (2)

with one example per row of X (n, inputs), W (inputs, outputs) and G = dL/dY. The surprise: the gradient of the weights
is a sum over the batch of outer products of what came in and what is asked for, so one matrix product does it all.
An input of any rank is flattened after its first axis, and its gradient gets the shape back. torch keeps W transposed,
(outputs, inputs): `affine.params["weight"].T` is its weight.

Rumelhart, Hinton, Williams 1986; Saito 2016 (as a class with forward and backward).
"""

from math import prod
from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError


@final
class Affine:
    """(n, ...) with `inputs` entries per example -> (n, outputs); weight (inputs, outputs), bias (outputs,).

    `grads` are new arrays at every backward. Where nobody needs the gradient of the input, as in a network's first
    layer, `wants_input_gradient = False` saves a third of the work, and backward returns an empty array.
    """

    def __init__(self, weight: np.ndarray, bias: np.ndarray):
        fits("affine", "the bias", bias.shape, weight.shape[1:])
        self.params = {"weight": weight, "bias": bias}
        self.grads: dict[str, np.ndarray] = {}
        self.wants_input_gradient = True

    def forward(self, x: np.ndarray) -> np.ndarray:
        weight = self.params["weight"]
        if x.ndim == 0 or prod(x.shape[1:]) != weight.shape[0]:
            raise UserError("affine", f"an input of shape {x.shape} does not fit a weight of shape {weight.shape}",
                            f"give (n, {weight.shape[0]}), or more axes with as many entries per example")
        self.shape, self.rows = x.shape, x.reshape(len(x), weight.shape[0])
        y = self.rows @ weight
        y += self.params["bias"]  # (1)
        return y

    def backward(self, grad: np.ndarray) -> np.ndarray:
        weight = self.params["weight"]
        fits("affine", "the gradient", grad.shape, (len(self.rows), weight.shape[1]))
        self.grads = {}  # the old ones make room first, unless somebody holds them
        self.grads = {"weight": self.rows.T @ grad, "bias": np.add.reduce(grad, 0)}  # (2)
        if not self.wants_input_gradient:
            return np.empty(0, grad.dtype)
        return (grad @ weight.T).reshape(self.shape)  # (2)


def drawn(inputs: int, outputs: int, rng: np.random.Generator, dtype: type = np.float32) -> Affine:
    """A layer for a following ReLU: normal weights of variance 2 / inputs (He et al. 2015), biases 0."""
    weight = rng.normal(0, (2 / inputs) ** 0.5, (inputs, outputs)).astype(dtype)
    return Affine(weight, np.zeros(outputs, dtype))


def example(rng: np.random.Generator) -> tuple[Affine, tuple[np.ndarray]]:
    """Five examples of 3x2 entries each, four outputs."""
    return Affine(rng.normal(size=(6, 4)), rng.normal(size=4)), (rng.normal(size=(5, 3, 2)),)


def it_is_the_sums() -> Check:
    """Each entry of the output equals b_j + sum_i x_i w_ij, summed one by one, to 1e-14.

    Source: equation (1)
    """
    layer, (x,) = example(np.random.default_rng(0))
    weight, bias, y = layer.params["weight"], layer.params["bias"], layer.forward(x)
    sums = [[bias[j] + sum(row[i] * weight[i, j] for i in range(6)) for j in range(4)] for row in x.reshape(5, 6)]
    return at_most(float(np.abs(y - sums).max()), 1e-14)


def the_weight_gradient_is_a_sum_of_outer_products() -> Check:
    """dL/dW equals the sum over the batch of x g^T, and dL/db that of g, to 1e-14.

    Source: equation (2)
    """
    layer, (x,) = example(np.random.default_rng(0))
    grad = np.random.default_rng(1).normal(size=layer.forward(x).shape)
    layer.backward(grad)
    outer = sum(np.outer(row, g) for row, g in zip(x.reshape(5, 6), grad, strict=True))
    off = np.abs(layer.grads["weight"] - outer).max() + np.abs(layer.grads["bias"] - sum(grad)).max()
    return at_most(float(off), 1e-14)


def any_rank_comes_back() -> Check:
    """Inputs of shape 5x1x3x2 give the output of 5x6, and a gradient of their own shape with the same 30 entries.

    Source: flattening only renames the entries
    """
    layer, (x,) = example(np.random.default_rng(0))
    flat = layer.forward(x.reshape(5, 6))
    to_flat = layer.backward(flat)
    tall = layer.forward(x.reshape(5, 1, 3, 2))
    to_tall = layer.backward(tall)
    same = np.array_equal(flat, tall) and to_tall.shape == (5, 1, 3, 2)
    return exactly(float((to_tall.ravel() == to_flat.ravel()).sum()) * same, 30)


def two_conventions_are_two_functions() -> Check:
    """W x with a square W that is not transposed differs from x W by more than a tenth, with W^T x by at most 1e-15.

    Source: (x W)^T = W^T x^T
    """
    draw = np.random.default_rng(2)
    weight, x = draw.normal(size=(4, 4)), draw.normal(size=4)
    y = Affine(weight, np.zeros(4)).forward(x[None])[0]
    right, wrong = np.abs(weight.T @ x - y).max(), np.abs(weight @ x - y).max()
    return at_least(float(wrong) if right <= 1e-15 else 0.0, 0.1)


CARD = Card(
    name="Affine map",
    name_ja="アフィン変換 (全結合層)",
    paper="Rumelhart, Hinton, Williams 1986, Learning representations by back-propagating errors; Saito 2016",
    equations=(
        r"Y = X W + \mathbf{1} b^T",
        r"\frac{\partial L}{\partial X} = G W^T,\quad \frac{\partial L}{\partial W} = X^T G,"
        r"\quad \frac{\partial L}{\partial b} = G^T \mathbf{1}",
    ),
    summary="Every output is a weighted sum of all inputs plus a constant; all three gradients are written out.",
    summary_ja="すべての入力の重み付き和に定数を足したもの。三つの勾配をすべて書き下してある。",
    topics=("nn.affine", "autodiff.byhand-layers"),
    facts=(
        it_is_the_sums,
        the_weight_gradient_is_a_sum_of_outer_products,
        any_rank_comes_back,
        two_conventions_are_two_functions,
    ),
    notes=("The documents write x W in one place and W x in others. Here it is x W with W (inputs, outputs); "
           "torch keeps W transposed.",),
    notes_ja=("資料には x W と W x の両方がある。ここでは x W で、W の形は (入力数, 出力数)。torch の重みはその転"
              "置である。",),
)
