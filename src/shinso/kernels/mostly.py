"""Products with a matrix most of whose entries are one value, as pictures with an even background are.

(1)  X = c + S,  X W^T = S W^T + 1 (c W 1)^T,  D^T X = D^T S + (c D^T 1) 1^T

Only S, the entries unlike c, is multiplied: handwriting leaves a fifth of them. Equal up to rounding for any X.
"""

import numpy as np
from numba import njit

from shinso.kernels.vector import WIDE, list_unlike, scatter_rows, turn_tile, winners_tile

# An intrinsic takes one argument less than its source, which a type checker cannot know.
# pyright: reportCallIssue=false

DENSE = 0.3
"""share of entries unlike c above which the ordinary product is faster"""


@njit(cache=True, nogil=True)
def unlike(x, fan_out):
    """The entries of x (batch, features) unlike x[0, 0], row by row: (entry - c, column * width, first of each row).

    Three empty arrays where that would not pay: too many of them, or a layer of an unsuitable width.
    """
    batch, features = x.shape
    c, width = x[0, 0], padded(fan_out)
    nothing = np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, np.int64)
    if not WIDE or x.size < 8192 or features * width > 2**30 or fan_out < 48 or fan_out > 448 or not np.isfinite(c):
        return nothing
    seen, share = 0, 0
    for b in range(0, batch, max(1, batch // 8)):
        seen += features
        for value in x[b]:
            share += value != c
    if share > DENSE * seen:
        return nothing
    values, places = np.empty(x.size + 16, np.float32), np.empty(x.size + 16, np.int32)
    starts, count = np.zeros(batch + 1, np.int64), 0
    for b in range(batch):
        row = x[b]
        for j in range(0, features - 15, 16):
            count += list_unlike(row[j:].ctypes.data, c, j * width, width, values.ctypes.data + 4 * count,
                                 places.ctypes.data + 4 * count)
        for j in range(features // 16 * 16, features):
            values[count], places[count] = row[j] - c, j * width
            count += row[j] != c
        starts[b + 1] = count
    return values, places, starts


@njit(cache=True, nogil=True)
def padded(fan_out):
    """Floats in a row of a scratch matrix: a multiple of 112 or of 64, whichever wastes less."""
    return min(-(-fan_out // 112) * 112, -(-fan_out // 64) * 64)


@njit(cache=True, nogil=True)
def _lines(rows, width):
    """A scratch matrix that begins on a 64-byte line."""
    room = np.empty(rows * width + 16, np.float32)
    first = (-(room.ctypes.data // 4)) % 16
    return room[first : first + rows * width].reshape(rows, width)


@njit(cache=True, nogil=True)
def _turn(a, out, rows, columns):
    """out[j, i] = a[i, j] for i < rows, j < columns."""
    for i in range(0, rows - 7, 8):
        for j in range(0, columns - 7, 8):
            turn_tile(a[i, j:].ctypes.data, a.shape[1], out[j, i:].ctypes.data, out.shape[1])
        for j in range(columns // 8 * 8, columns):
            for k in range(i, i + 8):
                out[j, k] = a[k, j]
    for i in range(rows // 8 * 8, rows):
        for j in range(columns):
            out[j, i] = a[i, j]


@njit(cache=True, nogil=True)
def times_transposed(x, values, places, starts, weight, bias, z):
    """z = x weight^T + bias: x (batch, in), weight (out, in), z (batch, out)."""
    (fan_out, fan_in), c = weight.shape, x[0, 0]
    width = padded(fan_out)
    turned, start, row = _lines(fan_in, width), np.zeros(width, np.float32), _lines(1, width)[0]
    _turn(weight, turned, fan_out, fan_in)
    for i in range(fan_in):
        for o in range(fan_out):
            start[o] += turned[i, o]
    for o in range(fan_out):
        start[o] = bias[o] + c * start[o]
    for b in range(len(x)):
        row[:] = start
        factors, offsets = values.ctypes.data + 4 * starts[b], places.ctypes.data + 4 * starts[b]
        count, matrix, out = starts[b + 1] - starts[b], turned.ctypes.data, row.ctypes.data
        if width % 112 == 0:
            for i in range(0, 4 * width, 448):
                winners_tile(16, 7, 1, factors, offsets, count, matrix + i, out + i, 0)
        else:
            for i in range(0, 4 * width, 256):
                winners_tile(16, 4, 1, factors, offsets, count, matrix + i, out + i, 0)
        z[b] = row[:fan_out]


@njit(cache=True, nogil=True)
def transposed_times(delta, x, values, places, starts, product):
    """product = delta^T x: delta (batch, out), x (batch, in), product (out, in)."""
    (fan_out, fan_in), c = product.shape, x[0, 0]
    width = padded(fan_out)
    turned, start, row = _lines(fan_in, width), np.zeros(width, np.float32), np.zeros(width, np.float32)
    for b in range(len(x)):
        for o in range(fan_out):
            start[o] += delta[b, o]
    start *= c
    for i in range(fan_in):
        turned[i] = start
    for b in range(len(x)):
        row[:fan_out] = delta[b]
        factors, offsets = values.ctypes.data + 4 * starts[b], places.ctypes.data + 4 * starts[b]
        count, source, out = starts[b + 1] - starts[b], row.ctypes.data, turned.ctypes.data
        if width % 112 == 0:
            for i in range(0, 4 * width, 448):
                scatter_rows(16, 7, factors, offsets, count, source + i, out + i, 1, 0)
        else:
            for i in range(0, 4 * width, 256):
                scatter_rows(16, 4, factors, offsets, count, source + i, out + i, 1, 0)
    _turn(turned, product, fan_in, fan_out)
