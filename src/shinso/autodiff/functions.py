"""Every operation by name, for Tensors (recorded) and ndarrays (plainly computed) alike.

The elementwise ones are the rules themselves: `exp(x)` computes, `exp.equation` says what its derivative is. Pure
functions of arrays, in the shapes that the course uses: images are (batch, channel, height, width), `affine` takes
weights of shape (in, out), convolution kernels are (out, in, height, width).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from shinso.autodiff import rules_images as images
from shinso.autodiff import rules_products as products
from shinso.autodiff import rules_reductions as reductions
from shinso.autodiff import rules_shapes as moves
from shinso.autodiff._operators import operand, plain
from shinso.autodiff._tape import shapes
from shinso.autodiff.rules import SUM, Array
from shinso.autodiff.rules_elementwise import (
    absolute,
    add,
    arctan,
    arctan2,
    cos,
    cosh,
    divide,
    exp,
    expm1,
    log,
    log1p,
    logaddexp,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    reciprocal,
    relu,
    sigmoid,
    sign,
    sin,
    sinh,
    softplus,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
)
from shinso.autodiff.rules_elementwise import clip as _clip
from shinso.autodiff.rules_elementwise import leaky_relu as _leaky_relu
from shinso.autodiff.rules_elementwise import where as _where
from shinso.core.errors import UserError

__all__ = [
    "absolute", "add", "affine", "arctan", "arctan2", "avg_pool2d", "clip", "concatenate", "conv2d", "cos", "cosh",
    "cross_entropy", "cumsum", "divide", "einsum", "embedding", "exp", "expm1", "flip", "im2col", "leaky_relu", "log",
    "log1p", "log_softmax", "logaddexp", "logsumexp", "matmul", "max_pool2d", "maximum", "mean", "minimum", "multiply",
    "negative", "pad", "power", "prod", "reciprocal", "relu", "sigmoid", "sign", "sin", "sinh", "softmax", "softplus",
    "sqrt", "square", "stack", "subtract", "sum", "tan", "tanh", "var", "where",
]

Axis = int | tuple[int, ...] | None


def clip(x: Array, low: float | None = None, high: float | None = None) -> Any:
    """min(max(x, low), high) entry by entry; None: no bound on that side."""
    return _clip.on((x,), (low, high))


def leaky_relu(x: Array, slope: float = 0.01) -> Any:
    """x where it is positive, else slope x."""
    return _leaky_relu.on((x,), (slope,))


def where(condition: Any, a: Array, b: Array) -> Any:
    """a where the condition holds, else b; the condition itself has no gradient."""
    return _where.on((plain(condition), operand(a), operand(b)))


def sum(x: Array, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The sum over `axis` (None: all)."""
    return SUM.on((x,), (axis, keepdims))


def mean(x: Array, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The mean over `axis` (None: all)."""
    return reductions.mean.on((x,), (axis, keepdims))


def prod(x: Array, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The product over `axis` (None: all)."""
    return reductions.prod.on((x,), (axis, keepdims))


def var(x: Array, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    """The mean squared distance from the mean, divided by n - ddof instead of n."""
    return reductions.var.on((x,), (axis, keepdims, ddof))


def logsumexp(x: Array, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """log sum exp(x) without overflow."""
    return reductions.logsumexp.on((x,), (axis, keepdims))


def softmax(x: Array, axis: int = -1) -> Any:
    """exp(x) / sum exp(x) along `axis`."""
    return reductions.softmax.on((x,), (axis,))


def log_softmax(x: Array, axis: int = -1) -> Any:
    """x - log sum exp(x) along `axis`."""
    return reductions.log_softmax.on((x,), (axis,))


def cross_entropy(logits: Array, target: Any) -> Any:
    """mean of -log softmax(logits)[target] over all rows, one node.

    logits: (..., classes). target: whole numbers of shape (...), or probabilities of the shape of the logits.
    """
    target = np.asarray(plain(target))
    wanted = logits.shape if target.dtype.kind == "f" else logits.shape[:-1]
    if target.shape != wanted:
        raise UserError("cross_entropy", f"logits {logits.shape} and target {target.shape} do not fit",
                        f"give a target of shape {wanted}")
    if target.dtype.kind != "f":
        _in_range("cross_entropy", target, logits.shape[-1], "classes")
    return reductions.cross_entropy.on((logits,), (target,))


def matmul(a: Array, b: Array) -> Any:
    """The matrix product of the last two axes; the axes before them are broadcast; one axis is a vector."""
    return products.matmul.on((operand(a), operand(b)))


def affine(x: Array, weight: Array, bias: Array) -> Any:
    """x W + b, one node. x: (..., in), weight: (in, out), bias: (out,)."""
    return products.affine.on((x, weight, bias))


def einsum(subscripts: str, *operands: Array) -> Any:
    """The sum over products that `subscripts` names, as in NumPy; no ellipsis. A letter may stand twice in one operand.

    Without "->" the output has the letters that occur once, in alphabetical order.
    """
    left, arrow, out = subscripts.replace(" ", "").partition("->")
    terms, xs = left.split(","), [operand(x) for x in operands]
    if len(terms) != len(xs) or any(len(t) != np.ndim(plain(x)) for t, x in zip(terms, xs, strict=True)):
        raise UserError("einsum", f"{subscripts!r} does not describe operands of shapes {shapes(xs)}",
                        "give one letter for each axis of each operand, as in 'ij,jk->ik'")
    if not arrow:
        out = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    spare = iter(sorted(set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") - set(left)))
    for k in range(len(terms)):  # a letter twice in one operand: a product with the unit matrix
        for place in range(len(terms[k])):
            letter = terms[k][place]
            if letter in terms[k][:place]:
                fresh = next(spare)
                terms[k] = terms[k][:place] + fresh + terms[k][place + 1 :]
                terms.append(letter + fresh)
                xs.append(np.eye(xs[k].shape[place], dtype=xs[k].dtype))
    return products.einsum.on(xs, (tuple(terms), out))


def embedding(weight: Array, ids: Any) -> Any:
    """The rows of `weight` (words, dimensions) that `ids` names; the gradients of a row that is used twice add up."""
    ids = np.asarray(plain(ids))
    if ids.dtype.kind not in "iu":
        raise UserError("embedding", f"ids of type {ids.dtype} are not whole numbers", "give integers")
    _in_range("embedding", ids, weight.shape[0], "rows")
    return moves.getitem.on((weight,), (ids,))


def concatenate(parts: Sequence[Array], axis: int = 0) -> Any:
    """The parts one after the other along an axis."""
    return moves.concatenate.on([operand(x) for x in parts], (axis,))


def stack(parts: Sequence[Array], axis: int = 0) -> Any:
    """The parts side by side along a new axis."""
    return moves.stack.on([operand(x) for x in parts], (axis,))


def pad(x: Array, widths: Sequence[tuple[int, int]]) -> Any:
    """x in a frame of zeros: (before, after) for each axis."""
    return moves.pad.on((x,), (tuple((int(a), int(b)) for a, b in widths),))


def flip(x: Array, axis: int = 0) -> Any:
    """x backwards along an axis."""
    return moves.flip.on((x,), (axis,))


def cumsum(x: Array, axis: int = 0) -> Any:
    """Running sums along an axis."""
    return moves.cumsum.on((x,), (axis,))


def im2col(x: Array, kernel: int | tuple[int, int], stride: int | tuple[int, int] = 1,
           padding: int | tuple[int, int] = 0) -> Any:
    """All windows of images (n, c, h, w): shape (c, kernel, kernel, rows, columns, n)."""
    kernel, stride, padding = _pair(kernel), _pair(stride), _pair(padding)
    _fits("im2col", x, kernel, stride, padding)
    return images.im2col.on((x,), (kernel, stride, padding))


def conv2d(x: Array, weight: Array, bias: Array | None = None, stride: int | tuple[int, int] = 1,
           padding: int | tuple[int, int] = 0) -> Any:
    """y[n, o, i, j] = sum over c, k, l of weight[o, c, k, l] x[n, c, s i + k - p, s j + l - p], plus bias[o].

    x: (n, c, h, w), weight: (o, c, kernel, kernel), bias: (o,). One node.
    """
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise UserError("conv2d", f"images {x.shape} and kernels {weight.shape} do not fit",
                        "give images (batch, channel, height, width) and kernels (out, channel, height, width)")
    stride, padding = _pair(stride), _pair(padding)
    _fits("conv2d", x, weight.shape[2:], stride, padding)
    if bias is None:
        return images.convolve.on((x, weight), (stride, padding))
    if bias.shape != weight.shape[:1]:
        raise UserError("conv2d", f"a bias {bias.shape} does not fit kernels {weight.shape}",
                        "give one number for each kernel")
    return images.conv2d.on((x, weight, bias), (stride, padding))


def max_pool2d(x: Array, kernel: int | tuple[int, int], stride: int | tuple[int, int] | None = None) -> Any:
    """The largest entry of each window of images (n, c, h, w); of equal ones the first receives the gradient."""
    kernel, stride = _pair(kernel), _pair(kernel if stride is None else stride)
    _fits("max_pool2d", x, kernel, stride, (0, 0))
    return images.max_pool.on((x,), (kernel, stride))


def avg_pool2d(x: Array, kernel: int | tuple[int, int], stride: int | tuple[int, int] | None = None) -> Any:
    """The mean of each window of images (n, c, h, w)."""
    kernel, stride = _pair(kernel), _pair(kernel if stride is None else stride)
    _fits("avg_pool2d", x, kernel, stride, (0, 0))
    return images.avg_pool.on((x,), (kernel, stride))


def _pair(n: int | tuple[int, int]) -> tuple[int, int]:
    return (n, n) if isinstance(n, int) else (int(n[0]), int(n[1]))


def _fits(where: str, x: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
    ok = x.ndim == 4 and min(*kernel, *stride) > 0 and min(padding) >= 0
    if not ok or x.shape[2] + 2 * padding[0] < kernel[0] or x.shape[3] + 2 * padding[1] < kernel[1]:
        raise UserError(where, f"a window of {kernel}, stride {stride}, padding {padding} does not fit shape {x.shape}",
                        "give images (batch, channel, height, width) at least as large as the window")


def _in_range(where: str, ids: np.ndarray, n: int, what: str) -> None:
    if ids.size and (np.minimum.reduce(ids, axis=None) < 0 or np.maximum.reduce(ids, axis=None) >= n):
        raise UserError(where, f"ids of shape {ids.shape} go from {ids.min()} to {ids.max()}, there are {n} {what}",
                        f"give whole numbers from 0 to {n - 1}")
