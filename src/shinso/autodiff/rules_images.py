r"""Rules of images (batch, channel, height, width): convolution, windows, pooling.

Convolution is linear in the images x and in the filters w. With <a, b> the sum of products of all entries,

    <C(x, w), g> = <x, T(g, w)> = <w, K(x, g)>                                  (1)

names its two adjoints: T, the transposed convolution, carries g back to the images, and K, the correlation of images
with g, to the filters. Read from another corner, (1) gives the adjoints of T and K: the three are closed, and nothing
else is needed for derivatives of any order.

    C(x, w) = W col(x),     T(g, w) = col*(W^T g),     K(x, g) = g col(x)^T     (2)
    cols[c, k, l, i, j, n] = x[n, c, s i + k - p, s j + l - p]                  (3) im2col
    x[n, c, a, b] = sum of cols[c, k, l, i, j, n] over s i + k - p = a, ...     (4) col2im, its adjoint: overlaps add

In memory the batch runs fastest: a window is then cut out of long unbroken runs, whatever its own size, and stays that
way through pooling and elementwise operations. Convolution makes a few rows of col(x) at a time, never all of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import prod

import numpy as np

from shinso.autodiff._windows import (
    BAND,
    Pair,
    Place,
    Window,
    add,
    bands,
    columns,
    firsts,
    frame_shape,
    framed,
    unframed,
)
from shinso.autodiff.rules import Array, General, Linear, Multilinear, broadcast_to, total

Winners = Iterable[tuple[Place, np.ndarray]]
"""for each place of the kernel: the entries that it meets, and at which of them the maximum is taken"""


def _window(kernel: Sequence[int], stride: Pair, padding: Pair) -> Window:
    return Window(height=kernel[0], width=kernel[1], stride=stride[0], padding=padding[0],
                  across=(stride[1], padding[1]))


def _convolve(x: np.ndarray, w: np.ndarray, stride: Pair, padding: Pair) -> np.ndarray:
    filters, window, frame = len(w), _window(w.shape[2:], stride, padding), framed(x, padding)
    rows, cols = window.outputs(*x.shape[2:])
    y = np.empty((filters, rows, cols, len(x)), np.result_type(x, w))
    places, matrix = y.reshape(filters, y[0].size), w.reshape(filters, w[0].size)
    for pixels, here, count in bands(frame, window, rows, cols):
        met = columns(frame[:, pixels], window, count, cols)
        np.matmul(matrix, met.reshape(w[0].size, here.stop - here.start), out=places[:, here])  # (2)
    return y.transpose(3, 0, 1, 2)


def _transposed(g: np.ndarray, w: np.ndarray, size: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    filters, channels, *kernel = w.shape
    window, g = _window(w.shape[2:], stride, padding), framed(g, 0)
    _, rows, cols, batch = g.shape
    frame = np.zeros(frame_shape((batch, channels, *size), padding), np.result_type(g, w))
    places, matrix = g.reshape(filters, g[0].size), w.reshape(filters, w[0].size)
    for pixels, here, count in bands(frame, window, rows, cols, 4 * BAND):  # many small additions: larger ones
        met = np.matmul(matrix.T, places[:, here]).reshape(channels, *kernel, count, cols, batch)
        add(frame[:, pixels], met, window)  # (2)
    return unframed(frame, padding)


def _correlate(x: np.ndarray, g: np.ndarray, kernel: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    window, frame, g = _window(kernel, stride, padding), framed(x, padding), framed(g, 0)
    filters, rows, cols, _ = g.shape
    places, shape = g.reshape(filters, g[0].size), (x.shape[1], *kernel)
    turned = np.zeros((x.shape[1] * kernel[0] * kernel[1], filters), np.result_type(x, g))  # the faster shape
    for pixels, here, count in bands(frame, window, rows, cols):
        met = columns(frame[:, pixels], window, count, cols)
        turned += met.reshape(len(turned), here.stop - here.start) @ places[:, here].T  # (2)
    return np.ascontiguousarray(turned.T).reshape(filters, *shape)


def _to_images(g: Array, xs: Sequence[Array], params: tuple) -> Array:
    """T, for a convolution of xs."""
    return transposed.on((g, xs[1]), (xs[0].shape[2:], *params[-2:]))


def _to_filters(g: Array, xs: Sequence[Array], params: tuple) -> Array:
    """K, for a convolution of xs."""
    return correlate.on((xs[0], g), (xs[1].shape[2:], *params[-2:]))


def _biased(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: Pair, padding: Pair) -> np.ndarray:
    y = _convolve(x, w, stride, padding)
    b = b.reshape(-1, 1, 1)
    return np.add(y, b, out=y) if y.dtype == b.dtype else y + b


class _Biased(Multilinear):
    """Linear in the images and in the filters, and in the bias alone: the convolution does not see its direction."""

    __slots__ = ()

    def push(self, ts: Sequence[Array | None], y: Array, xs: Sequence[Array], params: tuple) -> Array:
        part = None if ts[0] is ts[1] is None else convolve.push(ts[:2], y, xs[:2], params)
        if ts[2] is None:
            return part
        b = broadcast_to(ts[2].reshape(-1, 1, 1), y.shape)
        return b if part is None else part + b


def _im2col(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    window = _window(kernel, stride, padding)
    return columns(framed(x, padding), window, *window.outputs(*x.shape[2:]))  # (3)


def _col2im(cols: np.ndarray, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    frame = np.zeros(frame_shape(shape, padding), cols.dtype)
    add(frame, cols, _window(kernel, stride, padding))  # (4)
    return unframed(frame, padding)


def _places(shape: tuple[int, ...], kernel: Pair, stride: Pair) -> Iterator[Place]:
    """For each place in the kernel the entries of the images that it meets."""
    window = _window(kernel, stride, (0, 0))
    return ((slice(None), *place) for _, _, place in window.places(*window.outputs(*shape[2:])))


def _max_pool(x: np.ndarray, kernel: Pair, stride: Pair) -> np.ndarray:
    first, *rest = _places(x.shape, kernel, stride)
    y = x[first].copy(order="K")
    for place in rest:
        np.maximum(y, x[place], out=y)
    return y


def _spread(g: np.ndarray, shape: tuple[int, ...], winners: Winners, kernel: Pair, stride: Pair) -> np.ndarray:
    g = framed(g, 0).transpose(3, 0, 1, 2)
    apart = stride[0] >= kernel[0] and stride[1] >= kernel[1]  # no pixel is in two windows
    tiled = kernel == stride and g.size * kernel[0] * kernel[1] == prod(shape)  # and each is in one: all are written
    x = (np.empty if tiled else np.zeros)(frame_shape(shape, 0), g.dtype).transpose(3, 0, 1, 2)
    for place, first in winners:
        if apart:
            np.multiply(g, first, out=x[place])
        else:
            x[place] += g * first
    return x


def _gather(t: np.ndarray, winners: Winners, kernel: Pair, stride: Pair) -> np.ndarray:
    parts = (t[place] * first for place, first in winners)
    return sum(parts, next(parts))


def _avg_pool(x: np.ndarray, kernel: Pair, stride: Pair) -> np.ndarray:
    first, *rest = _places(x.shape, kernel, stride)
    y = x[first].copy(order="K")
    for place in rest:
        y += x[place]
    y *= 1 / (kernel[0] * kernel[1])
    return y


def _avg_unpool(g: np.ndarray, shape: tuple[int, ...], kernel: Pair, stride: Pair) -> np.ndarray:
    x = np.zeros(frame_shape(shape, 0), g.dtype).transpose(3, 0, 1, 2)
    g = framed(g, 0).transpose(3, 0, 1, 2) * (1 / (kernel[0] * kernel[1]))
    for place in _places(shape, kernel, stride):
        x[place] += g
    return x


def _winners(g: Array, x: Array, y: Array, kernel: Pair, stride: Pair) -> Winners:
    """One after the other, so that one mask is held at a time; all of them where the pass will be differentiated."""
    found = firsts(x, y, _places(x.shape, kernel, stride))
    return found if type(g) is np.ndarray else list(found)


def _max_pull(i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
    return spread.on((g,), (xs[0].shape, _winners(g, xs[0], y, *params), *params))


def _max_push(ts: Sequence[Array], y: Array, xs: Sequence[Array], params: tuple) -> Array:
    return gather.on((ts[0],), (_winners(ts[0], xs[0], y, *params), *params))


convolve = Multilinear("convolve", _convolve, (_to_images, _to_filters),
                       "y = C(x, w), y[n,o] = sum_c w[o,c] moved over x[n,c]; g_x = T(g, w), g_w = K(x, g)")
conv2d = _Biased("conv2d", _biased, (_to_images, _to_filters, lambda g, xs, params: total(g, (0, 2, 3))),
                 "y = C(x, w) + b; g_x = T(g, w), g_w = K(x, g), g_b = the sum of g over images and places")
transposed = Multilinear("convolve_transposed", _transposed,
                         (lambda g, xs, params: convolve.on((g, xs[1]), params[1:]),
                          lambda g, xs, params: correlate.on((g, xs[0]), (xs[1].shape[2:], *params[1:]))),
                         "y = T(x, w), <y, z> = <x, C(z, w)>; g_x = C(g, w), g_w = K(g, x)")
correlate = Multilinear("convolve_filters", _correlate,
                        (lambda g, xs, params: transposed.on((xs[1], g), (xs[0].shape[2:], *params[1:])),
                         lambda g, xs, params: convolve.on((xs[0], g), params[1:])),
                        "y = K(a, b), <y, w> = <C(a, w), b>; g_a = T(b, g), g_b = C(a, g)")
im2col = Linear("im2col", _im2col, lambda i, g, xs, params: col2im.on((g,), (xs[0].shape, *params)),
                "y[c,k,l,i,j,n] = x[n,c,s i + k - p,s j + l - p]; g_x = col2im(g)")
col2im = Linear("col2im", _col2im, lambda i, g, xs, params: im2col.on((g,), params[1:]),
                "y[n,c,a,b] = sum of x[c,k,l,i,j,n] over s i + k - p = a, s j + l - p = b; g_x = im2col(g)")
max_pool = General("max_pool", _max_pool, _max_pull, _max_push,
                   "y = max over each window; g_x = g at the first place that attains it", "xy")
spread = Linear("max_unpool", _spread, lambda i, g, xs, params: gather.on((g,), params[1:]),
                "y = x at the places of the maxima, else 0; g_x = g at those places")
gather = Linear("max_gather", _gather, lambda i, g, xs, params: spread.on((g,), (xs[0].shape, *params)),
                "y = x at the places of the maxima; g_x = g there, else 0")
avg_pool = Linear("avg_pool", _avg_pool, lambda i, g, xs, params: avg_unpool.on((g,), (xs[0].shape, *params)),
                  "y = mean over each window; g_x = g / (size of a window), overlaps add")
avg_unpool = Linear("avg_unpool", _avg_unpool, lambda i, g, xs, params: avg_pool.on((g,), params[1:]),
                    "y = x / (size of a window) spread over each window; g_x = mean of g over each window")
