r"""Rules of products: linear in each operand while the others stand still.

    Y = A B          g_A = g B^T,  g_B = A^T g                        (1)
    y = x W + b      g_x = g W^T,  g_W = x^T g,  g_b = sum of g       (2)
    y = einsum(...)  g_i = einsum of g with the other operands        (3)

Axes that broadcasting added are summed over afterwards.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from shinso.autodiff.rules import Array, Multilinear, broadcast_to, sum_to


def _columns(x: Array) -> Array:
    """All axes but the last laid in one: (..., n) to (rows, n)."""
    return x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])


def _as_matrices(g: Array, a: Array, b: Array) -> tuple[Array, Array, Array]:
    """The three arrays of a product with vectors written as one row (left) or one column (right)."""
    if b.ndim == 1:
        b, g = b.reshape(-1, 1), g.reshape(*g.shape, 1)
    if a.ndim == 1:
        a, g = a.reshape(1, -1), g.reshape(*g.shape[:-1], 1, g.shape[-1])
    return g, a, b


def _left(g: Array, xs: Sequence[Array], params: tuple) -> Array:
    if g.ndim == xs[0].ndim == xs[1].ndim == 2:
        return np.matmul(g, xs[1].T)  # (1)
    g, a, b = _as_matrices(g, *xs)
    return sum_to(np.matmul(g, b.swapaxes(-1, -2)), a.shape).reshape(xs[0].shape)


def _right(g: Array, xs: Sequence[Array], params: tuple) -> Array:
    if g.ndim == xs[0].ndim == xs[1].ndim == 2:
        return np.matmul(xs[0].T, g)  # (1)
    g, a, b = _as_matrices(g, *xs)
    if b.ndim == 2:  # one matrix for all rows of a: one large product instead of a sum of small ones
        return np.matmul(_columns(a).T, _columns(g)).reshape(xs[1].shape)
    return sum_to(np.matmul(a.swapaxes(-1, -2), g), b.shape).reshape(xs[1].shape)


def _affine(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    if w.ndim != 2 or x.shape[-1:] != w.shape[:1] or b.shape != w.shape[1:]:
        raise ValueError("x is (..., in), the weight (in, out) and the bias (out,)")
    y = np.matmul(x, w)
    return np.add(y, b, out=y) if y.dtype == b.dtype else y + b


def _affine_into(g: np.ndarray, xs: Sequence[np.ndarray], params: tuple, out: np.ndarray) -> np.ndarray:
    return np.matmul(_columns(xs[0]).T, _columns(g), out=out)


def _affine_weight(g: Array, xs: Sequence[Array], params: tuple) -> Array:
    if xs[0].ndim == 1:
        return xs[0].reshape(-1, 1) * g.reshape(1, -1)
    return np.matmul(_columns(xs[0]).T, _columns(g))  # (2)


def _affine_bias(g: Array, xs: Sequence[Array], params: tuple) -> Array:
    if type(g) is np.ndarray:  # always a new array, as every product gives one
        return np.add.reduce(_columns(g), axis=0) if g.ndim > 1 else g.copy()
    return sum_to(g, xs[2].shape)


class _Affine(Multilinear):
    """Linear in x and in W, and in b alone: the product does not see the direction of b."""

    __slots__ = ()

    def push(self, ts: Sequence[Array | None], y: Array, xs: Sequence[Array], params: tuple) -> Array:
        parts = [np.matmul(t, other) if i == 0 else np.matmul(other, t)
                 for i, (t, other) in enumerate(zip(ts[:2], (xs[1], xs[0]), strict=True)) if t is not None]
        if ts[2] is not None:
            parts.append(broadcast_to(ts[2], y.shape))
        return parts[0] if len(parts) == 1 else sum(parts[1:], parts[0])


matmul = Multilinear("matmul", np.matmul, (_left, _right), "Y = A B; g_A = g B^T, g_B = A^T g")
affine = _Affine("affine", _affine, (lambda g, xs, params: np.matmul(g, xs[1].T), _affine_weight, _affine_bias),
                 "y = x W + b; g_x = g W^T, g_W = x^T g, g_b = the sum of g over the rows", (None, _affine_into, None))


def _einsum(*operands) -> np.ndarray:
    *xs, terms, out = operands
    return np.einsum(",".join(terms) + "->" + out, *xs, optimize=len(xs) > 1)


def _einsum_adjoint(i: int, g: Array, xs: Sequence[Array], params: tuple) -> Array:
    """(3); letters that only this operand had were summed away: g is the same along them."""
    terms, out = params
    others = [(t, x) for j, (t, x) in enumerate(zip(terms, xs, strict=True)) if j != i]
    known = set(out).union(*(t for t, _ in others))
    kept = "".join(c for c in terms[i] if c in known)
    part = einsum.on((g, *(x for _, x in others)), ((out, *(t for t, _ in others)), kept))
    shape = tuple(n if c in known else 1 for c, n in zip(terms[i], xs[i].shape, strict=True))
    return broadcast_to(part.reshape(shape), xs[i].shape)


class _Operands(Multilinear):
    """Any number of operands that share one adjoint."""

    __slots__ = ()

    def pull(self, i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
        return _einsum_adjoint(i, g, xs, params)


einsum = _Operands("einsum", _einsum, (), "y = sum over the letters absent from the output of the product of all x_i; "
                   "g_i = the same with g in the place of x_i")
einsum.fresh = False
