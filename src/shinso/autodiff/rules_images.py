r"""Rules of images (batch, channel, height, width): windows, their adjoint, and pooling.

    cols[c, k, l, i, j, n] = x[n, c, s i + k - p, s j + l - p]                  (1) im2col
    x[n, c, a, b] = sum of cols[c, k, l, i, j, n] over s i + k - p = a, ...     (2) col2im, its adjoint: overlaps add

A convolution is (1) and one matrix product. In memory the batch runs fastest: a window is then cut out of long
unbroken runs, whatever its own size, and stays that way through pooling and elementwise operations.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from shinso.autodiff.rules import Array, General, Linear

Pair = tuple[int, int]


def _outputs(height: int, width: int, kernel: Pair, stride: Pair) -> Pair:
    return (height - kernel[0]) // stride[0] + 1, (width - kernel[1]) // stride[1] + 1


def _offsets(height: int, width: int, kernel: Pair, stride: Pair) -> Iterator[tuple[int, int, slice, slice]]:
    """For each place in the kernel: its two coordinates and the rows and columns of the image that it meets."""
    rows, columns = _outputs(height, width, kernel, stride)
    for k in range(kernel[0]):
        for m in range(kernel[1]):
            yield (k, m, slice(k, k + stride[0] * (rows - 1) + 1, stride[0]),
                   slice(m, m + stride[1] * (columns - 1) + 1, stride[1]))


def _im2col(x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    n, c, h, w = x.shape
    p, q = padding
    h, w = h + 2 * p, w + 2 * q
    rows, columns = _outputs(h, w, kernel, stride)
    inner = x.transpose(1, 2, 3, 0)
    if p or q:
        framed = np.zeros((c, h, w, n), x.dtype)
        framed[:, p : h - p, q : w - q] = inner
        inner = framed
    elif not inner.flags.c_contiguous:
        inner = np.ascontiguousarray(inner)
    cols = np.empty((c, *kernel, rows, columns, n), x.dtype)
    for k, m, down, right in _offsets(h, w, kernel, stride):
        cols[:, k, m] = inner[:, down, right]  # (1)
    return cols


def _col2im(cols: np.ndarray, shape: tuple[int, ...], kernel: Pair, stride: Pair, padding: Pair) -> np.ndarray:
    n, c, h, w = shape
    p, q = padding
    x = np.zeros((c, h + 2 * p, w + 2 * q, n), cols.dtype)
    for k, m, down, right in _offsets(h + 2 * p, w + 2 * q, kernel, stride):
        x[:, down, right] += cols[:, k, m]  # (2)
    return x[:, p : p + h, q : q + w].transpose(3, 0, 1, 2)


def _parts(x: np.ndarray, kernel: Pair, stride: Pair) -> list[np.ndarray]:
    """For each place in the kernel the entries of x that it meets, views."""
    return [x[:, :, down, right] for _, _, down, right in _offsets(x.shape[2], x.shape[3], kernel, stride)]


def _max_pool(x: np.ndarray, kernel: Pair, stride: Pair) -> np.ndarray:
    first, *rest = _parts(x, kernel, stride)
    y = first.copy(order="K")
    for part in rest:
        np.maximum(y, part, out=y)
    return y


def _first(x: Array, y: Array, kernel: Pair, stride: Pair) -> list[np.ndarray]:
    """One mask for each place of the window: the first, in reading order, that attains the maximum."""
    free, masks = True, []
    for _, _, down, right in _offsets(x.shape[2], x.shape[3], kernel, stride):
        mask = np.logical_and(np.equal(x[:, :, down, right], y), free)
        free = np.logical_not(mask) if free is True else np.logical_and(free, np.logical_not(mask))
        masks.append(mask)
    return masks


def _spread(g: np.ndarray, shape: tuple[int, ...], masks: list[np.ndarray], kernel: Pair, stride: Pair) -> np.ndarray:
    n, c, h, w = shape
    x = np.zeros((c, h, w, n), g.dtype).transpose(3, 0, 1, 2)
    apart = stride[0] >= kernel[0] and stride[1] >= kernel[1]
    for mask, (_, _, down, right) in zip(masks, _offsets(h, w, kernel, stride), strict=True):
        if apart:
            np.multiply(g, mask, out=x[:, :, down, right])
        else:
            x[:, :, down, right] += g * mask
    return x


def _gather(t: np.ndarray, masks: list[np.ndarray], kernel: Pair, stride: Pair) -> np.ndarray:
    parts = [part * mask for part, mask in zip(_parts(t, kernel, stride), masks, strict=True)]
    return sum(parts[1:], parts[0])


def _avg_pool(x: np.ndarray, kernel: Pair, stride: Pair) -> np.ndarray:
    first, *rest = _parts(x, kernel, stride)
    y = first.copy(order="K")
    for part in rest:
        y += part
    y *= 1 / (kernel[0] * kernel[1])
    return y


def _avg_unpool(g: np.ndarray, shape: tuple[int, ...], kernel: Pair, stride: Pair) -> np.ndarray:
    n, c, h, w = shape
    x = np.zeros((c, h, w, n), g.dtype).transpose(3, 0, 1, 2)
    g = g * (1 / (kernel[0] * kernel[1]))
    for _, _, down, right in _offsets(h, w, kernel, stride):
        x[:, :, down, right] += g
    return x


def _max_pull(i: int, g: Array, y: Array, xs: Sequence[Array], params: tuple) -> Array:
    return spread.on((g,), (xs[0].shape, _first(xs[0], y, *params), *params))


def _max_push(ts: Sequence[Array], y: Array, xs: Sequence[Array], params: tuple) -> Array:
    return gather.on((ts[0],), (_first(xs[0], y, *params), *params))


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
