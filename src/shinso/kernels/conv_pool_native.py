"""The native form of conv_pool: one example at a time, channels last in scratch memory that stays in the L2 cache.

Forward multiplies tiles of neighbouring pixels, all output channels of a block held in registers. Backward lists the
winners of each output channel (gradient, place) and works on that list alone. A machine function is compiled for each
shape of a tile, not for each size of a layer.
"""

# An intrinsic takes one argument less than its source, which a type checker cannot know.
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

import functools

import numpy as np
from numba import njit

from shinso.kernels.vector import WIDE, product_tile, scatter_rows, winners_tile

MOST = 26 if WIDE else 12
"""accumulators of one tile that fit into the registers beside its operands"""
SLACK = 1024
"""floats behind a scratch buffer that a tile may read, or add zeros to"""
PIXELS = {1: (14, 10, 8), 2: (12, 10, 8), 3: (8, 6), 4: (6, 5, 4)} if WIDE else {1: (10, 8, 6), 2: (6, 5, 4)}
"""pixels of a tile by vectors of output channels"""


def forward(x, weight, bias, padding, y, winner):
    """Fills y (batch, out, height, width) and winner (the same, uint8): 0..3 in the window, 4 where none is above 0."""
    num_out, width = weight.shape[0], 2 * y.shape[3]
    lanes = 16 if WIDE and num_out > 8 else 8
    vectors = min(-(-num_out // lanes), max(PIXELS))
    pixels = min(PIXELS[vectors], key=lambda p: -(-width // p) * p)
    _forward(lanes, vectors, pixels)(x, weight, bias, padding, y, winner)


def backward(grad, winner, x, weight, padding, grad_x, grad_weight, grad_bias):
    """Adds to grad_weight and grad_bias; fills grad_x unless it has no elements."""
    k, depth = weight.shape[2], _depth(weight.shape[1])
    lanes = 16 if WIDE and depth % 16 == 0 else 8
    vectors = -(-k * depth // lanes)
    rows = k if k * vectors <= MOST else 1
    _backward(lanes, vectors, rows, depth)(grad, winner, x, weight, padding, grad_x, grad_weight, grad_bias)


def fits(weight) -> bool:
    """Whether one row of taps over all input channels fits into the registers."""
    return weight.shape[2] * _depth(weight.shape[1]) <= MOST * 8


def _depth(num_in: int) -> int:
    """Floats per pixel of the scratch images: with whole vectors a load never straddles an earlier store."""
    return num_in if num_in <= 4 else -(-num_in // 8) * 8


@functools.cache
def _forward(lanes, vectors, pixels):
    block = lanes * vectors

    @njit(cache=True, nogil=True)
    def run(x, weight, bias, padding, y, winner):
        num_batch, num_in, height, width = x.shape
        num_out, k, pooled = weight.shape[0], weight.shape[2], y.shape[3]
        w, start = _by_block(weight, bias, block)
        stride = (width + 2 * padding) * num_in
        image = np.zeros((height + 2 * padding) * stride + SLACK + 16 * num_in, np.float32)
        row_pixels = -(-2 * pooled // pixels) * pixels
        z = np.empty((2, row_pixels, block), np.float32)
        value, which = np.empty((pooled, block), np.float32), np.empty((pooled, block), np.int32)
        for n in range(num_batch):
            _channels_last(x[n], padding, num_in, image)
            for b in range(w.shape[0]):
                first, last = b * block, min(num_out, (b + 1) * block)
                for row in range(y.shape[2]):
                    for half in range(2):
                        source = image.ctypes.data + 4 * (2 * row + half) * stride
                        for p in range(0, row_pixels, pixels):
                            product_tile(lanes, vectors, pixels, source + 4 * p * num_in, w[b].ctypes.data,
                                         start[b].ctypes.data, z[half, p].ctypes.data, k, k * num_in, stride, num_in)
                    _pool(z, pooled, value, which)
                    for o in range(first, last):
                        for p in range(pooled):
                            y[n, o, row, p] = value[p, o - first]
                            winner[n, o, row, p] = which[p, o - first]

    return run


@functools.cache
def _backward(lanes, vectors, rows, depth):
    span = lanes * vectors

    @njit(cache=True, nogil=True)
    def run(grad, winner, x, weight, padding, grad_x, grad_weight, grad_bias):
        num_batch, num_in, height, width = x.shape
        num_out, k = weight.shape[0], weight.shape[2]
        stride = (width + 2 * padding) * depth
        image = _aligned((height + 2 * padding) * stride + SLACK)
        w, grad_w = _by_row(weight, depth, span), np.zeros((num_out, k, span), np.float32)
        grad_image = _aligned(image.size if grad_x.size else 0)
        sums = np.empty((k, span), np.float32)
        windows = grad.shape[2] * grad.shape[3] + 1
        factors, offsets = np.empty(windows, np.float32), np.empty(windows, np.int32)
        at_factors, at_offsets = factors.ctypes.data, offsets.ctypes.data
        for n in range(num_batch):
            _channels_last(x[n], padding, depth, image)
            grad_image[:] = 0
            for o in range(num_out):
                count, total = _winners(grad[n, o], winner[n, o], stride, depth, factors, offsets)
                grad_bias[o] += total
                sums[:] = 0
                for r in range(0, k, rows):
                    winners_tile(lanes, vectors, rows, at_factors, at_offsets, count,
                                 image.ctypes.data + 4 * r * stride, sums[r].ctypes.data, stride)
                grad_w[o] += sums
                if grad_x.size:
                    scatter_rows(lanes, vectors, at_factors, at_offsets, count, w[o].ctypes.data,
                                 grad_image.ctypes.data, k, stride)
            if grad_x.size:
                _channels_first(grad_image, padding, depth, grad_x[n])
        for o in range(num_out):
            for c in range(num_in):
                for i in range(k):
                    for j in range(k):
                        grad_weight[o, c, i, j] += grad_w[o, i, j * depth + c]

    return run


@njit(cache=True, nogil=True)
def _by_block(weight, bias, block):
    """weight (out, in, k, k) as (blocks, k * k * in, block) and bias as (blocks, block), filled up with zeros."""
    num_out, num_in, k, _ = weight.shape
    w = np.zeros((-(-num_out // block), k * k * num_in, block), np.float32)
    start = np.zeros((w.shape[0], block), np.float32)
    for o in range(num_out):
        start[o // block, o % block] = bias[o]
        for c in range(num_in):
            for i in range(k):
                for j in range(k):
                    w[o // block, (i * k + j) * num_in + c, o % block] = weight[o, c, i, j]
    return w, start


@njit(cache=True, nogil=True)
def _by_row(weight, depth, span):
    """weight (out, in, k, k) as (out, k, span): k pixels of `depth` numbers in a row, filled up with zeros."""
    num_out, num_in, k, _ = weight.shape
    w = np.zeros((num_out, k, span), np.float32)
    for o in range(num_out):
        for c in range(num_in):
            for i in range(k):
                for j in range(k):
                    w[o, i, j * depth + c] = weight[o, c, i, j]
    return w


@njit(cache=True, nogil=True)
def _aligned(size):
    """Zeros that begin on a 64-byte line."""
    room = np.zeros(size + 16, np.float32)
    first = (-(room.ctypes.data // 4)) % 16
    return room[first : first + size]


@njit(cache=True, nogil=True)
def _channels_last(x, padding, depth, image):
    """x (channels, height, width) into the flat image[(i * width' + j) * depth + c]; its border stays zero."""
    channels, height, width = x.shape
    for i in range(height):
        start = ((i + padding) * (width + 2 * padding) + padding) * depth
        for c in range(channels):
            for j in range(width):
                image[start + j * depth + c] = x[c, i, j]


@njit(cache=True, nogil=True)
def _channels_first(image, padding, depth, x):
    """The way back, without the border."""
    channels, height, width = x.shape
    for i in range(height):
        start = ((i + padding) * (width + 2 * padding) + padding) * depth
        for c in range(channels):
            for j in range(width):
                x[c, i, j] = image[start + j * depth + c]


@njit(cache=True, nogil=True)
def _larger(m, i, other, j):
    """The rule of max_pool2d: the first of the largest, but a NaN always wins."""
    take = (other > m) | (other != other)
    return (other if take else m), (np.int32(j) if take else i)


@njit(cache=True, nogil=True)
def _pool(z, pooled, value, which):
    """z (2, pixels, block) -> value and which (pooled, block)."""
    for p in range(pooled):
        for o in range(z.shape[2]):
            m, i = _larger(z[0, 2 * p, o], np.int32(0), z[0, 2 * p + 1, o], 1)
            m, i = _larger(m, i, z[1, 2 * p, o], 2)
            m, i = _larger(m, i, z[1, 2 * p + 1, o], 3)
            value[p, o] = np.float32(0) if m <= 0 else m
            which[p, o] = np.int32(4) if m <= 0 else i


@njit(cache=True, nogil=True)
def _winners(grad, winner, stride, depth, factors, offsets):
    """Lists gradient and place (in floats) of the living windows of one channel; returns their number and sum."""
    count, total = 0, np.float32(0)
    for i in range(grad.shape[0]):
        for j in range(grad.shape[1]):
            code = np.int64(winner[i, j])
            factors[count] = grad[i, j]
            offsets[count] = (2 * i + (code >> 1)) * stride + (2 * j + (code & 1)) * depth
            count += code < 4
            total += grad[i, j] if code < 4 else np.float32(0)
    return count, total
