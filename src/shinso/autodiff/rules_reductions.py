r"""Rules of the operations that draw a slice of x together: y = r(x_1, ..., x_n), g_j = g dy/dx_j.

    sum 1,  mean 1/n,  max [x_j = y] / ties,  var 2 (x_j - mean) / (n - c),  logsumexp exp(x_j - y)      (1)

Softmax keeps its slice; its Jacobian diag(s) - s s^T is symmetric, so forward and reverse mode are one formula:

    s = softmax(x):        ds = s (t - sum s t)                                 (2)
    l = log softmax(x):    dl = t - sum s t,   g_x = g - s sum g                (3)
    cross entropy:         y = mean_k (logsumexp(x_k) - x_k[target_k]),  dy/dx_k = (softmax(x_k) - onehot_k) / n   (4)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from shinso.autodiff.rules import SUM, Array, General, Reduction, count, total


def _prod(x, axis, keepdims):
    return np.multiply.reduce(x, axis=axis, keepdims=keepdims)


def _others(y: Array, x: Array, axis: Any) -> Array:
    """The product of the other entries of the slice, which y / x gives as long as no entry is zero."""
    if np.all(np.not_equal(x, 0)):
        return y / x
    if axis is None:
        return _others(y, x.reshape(-1), 0).reshape(x.shape)
    if not isinstance(axis, int):
        axes = tuple(a % x.ndim for a in axis)
        rest = tuple(i for i in range(x.ndim) if i not in axes)
        moved = x.transpose(rest + axes)
        flat = moved.reshape(*(x.shape[i] for i in rest), -1)
        back = _others(y, flat, -1).reshape(moved.shape)
        return back.transpose(tuple(int(i) for i in np.argsort(rest + axes)))
    lines = x.swapaxes(axis, -1)
    n = lines.shape[-1]
    table = np.where(np.eye(n, dtype=bool), np.ones((), x.dtype), lines.reshape(*lines.shape[:-1], 1, n))
    return prod.on((table,), (-1, False)).swapaxes(axis, -1)


def _ties(y: Array, x: Array, axis: Any) -> np.ndarray:
    """The slice's gradient shared evenly among the entries that attain y."""
    same = np.equal(x, y)
    return same.astype(y.dtype) / np.add.reduce(same, axis=axis, keepdims=True, dtype=y.dtype)


def _logsumexp(x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    top = np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, np.zeros((), x.dtype))
    with np.errstate(divide="ignore"):
        y = np.log(np.add.reduce(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axis=tuple(range(x.ndim)) if axis is None else axis)


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    y = x - np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    np.exp(y, out=y)
    y /= np.add.reduce(y, axis=axis, keepdims=True)
    return y


def _log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    y = x - np.maximum.reduce(x, axis=axis, keepdims=True, initial=-np.inf)
    y -= np.log(np.add.reduce(np.exp(y), axis=axis, keepdims=True))
    return y


def _cross_entropy(x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The value, and the two halves of softmax(x), numerator and denominator."""
    down = x - np.maximum.reduce(x, axis=-1, keepdims=True, initial=-np.inf)
    above = np.exp(down)
    below = np.add.reduce(above, axis=-1, keepdims=True)
    n = max(below.size, 1)
    if target.dtype.kind == "f":
        shares = target.astype(x.dtype, copy=False)
        return -np.add.reduce((down - np.log(below)) * shares, axis=None) / n, (above, below)
    rows = down.reshape(below.size, x.shape[-1])
    chosen = rows[np.arange(len(rows)), target.reshape(-1)]
    return (np.add.reduce(np.log(below), axis=None) - np.add.reduce(chosen)) / n, (above, below)


def _cross_entropy_pull(i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
    x, (target, *note) = xs[0], params
    p = np.divide(*note[0]) if note else softmax.on((x,), (-1,))
    scale = g / max(count(x.shape[:-1], None), 1)
    if target.dtype.kind == "f":
        target = target.astype(x.dtype, copy=False)
        return (p * total(target, -1, keepdims=True) - target) * scale  # (4)
    if type(p) is not np.ndarray:
        return (p - (target[..., None] == np.arange(x.shape[-1]))) * scale
    rows = p.reshape(-1, x.shape[-1])  # p is ours alone
    rows[np.arange(len(rows)), target.reshape(-1)] -= 1
    rows *= scale
    return rows.reshape(x.shape)


def _cross_entropy_push(ts: Sequence[Array], y: Array, xs: Sequence[Array], params: tuple) -> Array:
    one = np.ones((), xs[0].dtype)
    return total(ts[0] * _cross_entropy_pull(0, one, y, xs, params))


mean = Reduction("mean", lambda x, axis, keepdims: np.mean(x, axis=axis, keepdims=keepdims),
                 lambda y, x, axis, keepdims: 1 / max(count(x.shape, axis), 1), "y = sum_j x_j / n; dy/dx_j = 1 / n")
amax = Reduction("max", lambda x, axis, keepdims: np.maximum.reduce(x, axis=axis, keepdims=keepdims),
                 lambda y, x, axis, keepdims: _ties(y, x, axis), "y = max_j x_j; dy/dx_j = [x_j = y] / ties", "xy")
amin = Reduction("min", lambda x, axis, keepdims: np.minimum.reduce(x, axis=axis, keepdims=keepdims),
                 lambda y, x, axis, keepdims: _ties(y, x, axis), "y = min_j x_j; dy/dx_j = [x_j = y] / ties", "xy")
prod = Reduction("prod", _prod, lambda y, x, axis, keepdims: _others(y, x, axis),
                 "y = prod_j x_j; dy/dx_j = the product of the others", "xy")
var = Reduction("var", lambda x, axis, keepdims, ddof: np.var(x, axis=axis, keepdims=keepdims, ddof=ddof),
                lambda y, x, axis, _, ddof: (x - mean.on((x,), (axis, True))) * (2 / (count(x.shape, axis) - ddof)),
                "y = sum_j (x_j - mean)^2 / (n - c); dy/dx_j = 2 (x_j - mean) / (n - c)", "x")
logsumexp = Reduction("logsumexp", _logsumexp, lambda y, x, axis, keepdims: np.exp(x - y),
                      "y = log sum_j exp(x_j); dy/dx_j = exp(x_j - y)", "xy")
softmax = General("softmax", _softmax,
                  lambda i, g, y, xs, params: y * (g - total(g * y, params[0], keepdims=True)),  # (2)
                  lambda ts, y, xs, params: y * (ts[0] - total(ts[0] * y, params[0], keepdims=True)),
                  "y = exp(x) / sum exp(x); g_x = y (g - sum g y)", "y")
log_softmax = General("log_softmax", _log_softmax,
                      lambda i, g, y, xs, params: g - np.exp(y) * total(g, params[0], keepdims=True),  # (3)
                      lambda ts, y, xs, params: ts[0] - total(np.exp(y) * ts[0], params[0], keepdims=True),
                      "y = x - log sum exp(x); g_x = g - exp(y) sum g", "y")
cross_entropy = General("cross_entropy", lambda x, target: _cross_entropy(x, target)[0],
                        _cross_entropy_pull, _cross_entropy_push,
                        "y = mean (logsumexp(x) - x[target]); dy/dx = (softmax(x) - onehot) / n", "x")
cross_entropy.noted = _cross_entropy
REDUCTIONS = {"sum": SUM, "mean": mean, "max": amax, "min": amin, "prod": prod}
"""the reductions that ndarray has as methods with axis and keepdims alone"""
