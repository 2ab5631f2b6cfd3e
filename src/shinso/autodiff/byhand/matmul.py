r"""The product of two matrices, as a layer with two inputs.

    Y = A B                                                   (1)
    dL/dA = G B^T,  dL/dB = A^T G,  G = dL/dY                 (2)

Written as sums, L changes by sum_ij G_ij sum_k (dA_ik B_kj + A_ik dB_kj); collecting dA_ik and dB_kj gives (2). The
surprise: nothing else is possible, because the shapes (n, k) and (k, m) fit in no other order. Stacks of matrices
(..., n, k) are multiplied one by one; an operand that was repeated to fit the other one gets the sum of its gradients.

Cayley 1858 (the product); Giles 2008 (its derivatives).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError


@final
class MatMul:
    """(..., n, k) and (..., k, m) -> (..., n, m); leading axes are repeated to fit each other."""

    def forward(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2]:
            raise UserError("matmul", f"{a.shape} and {b.shape} have no product", "give (..., n, k) and (..., k, m)")
        self.a, self.b = a, b
        y = a @ b  # (1)
        self.shape = y.shape
        return y

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fits("matmul", "the gradient", grad.shape, self.shape)
        a, b = self.a, self.b
        return _folded(grad @ b.swapaxes(-1, -2), a.shape), _folded(a.swapaxes(-1, -2) @ grad, b.shape)  # (2)


def _folded(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Summed over the leading axes along which an operand of this shape was repeated."""
    if grad.shape == shape:
        return grad
    grad = grad.sum(tuple(range(grad.ndim - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1 and grad.shape[axis] != 1)
    return grad.sum(repeated, keepdims=True)


def example(rng: np.random.Generator) -> tuple[MatMul, tuple[np.ndarray, np.ndarray]]:
    """Two of three axes, the first operand repeated five times."""
    return MatMul(), (rng.normal(size=(1, 2, 3)), rng.normal(size=(5, 3, 4)))


def gradients_are_adjoints() -> Check:
    """sum G (dA B + A dB) equals sum dA gA + sum dB gB to 1e-12 for A of 7x5 and B of 5x3.

    Source: equation (2); Giles 2008, section 2.1
    """
    draw = np.random.default_rng(0).normal
    a, b, da, db, grad = draw(size=(7, 5)), draw(size=(5, 3)), draw(size=(7, 5)), draw(size=(5, 3)), draw(size=(7, 3))
    layer = MatMul()
    layer.forward(a, b)
    to_a, to_b = layer.backward(grad)
    change = (grad * (layer.forward(da, b) + layer.forward(a, db))).sum()
    return at_most(abs(float(change - (da * to_a).sum() - (db * to_b).sum())), 1e-12)


def an_empty_batch_moves_nothing() -> Check:
    """A batch of 0 rows gives the second operand a gradient of 0 in all its 12 entries.

    Source: equation (2), a sum over no terms
    """
    layer = MatMul()
    layer.forward(np.empty((0, 4)), np.ones((4, 3)))
    to_b = layer.backward(np.empty((0, 3)))[1]
    return exactly(float((to_b == 0).sum()) if to_b.shape == (4, 3) else 0, 12)


def reversing_all_axes_is_wrong() -> Check:
    """On stacks of three 3x3 matrices the article's grad @ b.T is wrong by more than a tenth of the gradient.

    Source: .T reverses all axes; only the last two are to be exchanged
    """
    draw = np.random.default_rng(1).normal
    a, b, grad = draw(size=(3, 3, 3)), draw(size=(3, 3, 3)), draw(size=(3, 3, 3))
    layer = MatMul()
    layer.forward(a, b)
    right = layer.backward(grad)[0]
    return at_least(float(np.abs(grad @ b.T - right).max() / np.abs(right).max()), 0.1)


CARD = Card(
    name="Matrix product",
    name_ja="行列積 (MatMul)",
    paper="Cayley 1858, doi:10.1098/rstl.1858.0002; Giles 2008, Collected matrix derivative results",
    equations=(r"Y = A B", r"\frac{\partial L}{\partial A} = G B^T,\quad \frac{\partial L}{\partial B} = A^T G"),
    summary="The product of two matrices with both its gradients, which are again two matrix products.",
    summary_ja="二つの行列の積と、その二つの勾配。勾配もまた行列積になる。",
    topics=("nn.matmul",),
    facts=(gradients_are_adjoints, an_empty_batch_moves_nothing, reversing_all_axes_is_wrong),
    notes=("The article's class takes both operands in its constructor, so that one object serves one pair; here "
           "forward takes them.",
           "The article transposes with .T, which reverses all axes: on arrays of three axes the gradient is wrong."),
    notes_ja=("記事のクラスは両方の行列をコンストラクタで受け取るため、一つのオブジェクトは一組にしか使えない。ここ"
              "では forward が受け取る。",
              "記事は .T で転置しているが、これはすべての軸を逆順にする。三次元配列では勾配が誤りになる。"),
    twin="torch.matmul",
)
