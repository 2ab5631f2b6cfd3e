"""The native form of mlp: the products by the library inside torch, everything between them fused here.

Addresses come in as integers because one call takes any number of layers; the public file has checked every shape.
"""

# An intrinsic takes one argument less than its source, which a type checker cannot know.
# pyright: reportCallIssue=false, reportPrivateImportUsage=false

import ctypes
import math
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import torch
from numba import carray, njit, types

from shinso.kernels.mostly import times_transposed, transposed_times, unlike
from shinso.kernels.vector import float_pointer, long_pointer


def _find_product() -> int:
    """The address of Fortran's sgemm in torch's own library; the thread count of torch holds for it too."""
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"):
        path = Path(torch.__file__).parent / "lib" / name
        if path.exists() and hasattr(library := ctypes.CDLL(str(path)), "sgemm_"):
            return ctypes.cast(library.sgemm_, ctypes.c_void_p).value or 0
    raise ImportError("torch shows no sgemm_ here")


llvm.add_symbol("shinso_sgemm", _find_product())
_sgemm = types.ExternalFunction("shinso_sgemm", types.void(*[types.intp] * 13))


@njit(cache=True, nogil=True)
def _product(transpose, shape, a, b, beta, c):
    """C = A B + beta C, column-major, shape = (m, n, k); transpose = (A stored transposed, B stored transposed)."""
    m, n, k = shape
    letters = np.array([84 if transpose[0] else 78, 84 if transpose[1] else 78], np.uint8)
    sizes = np.array([m, n, k, k if transpose[0] else m, n if transpose[1] else k, m], np.int32)
    factors = np.array([1.0, beta], np.float32)
    s, f = sizes.ctypes.data, factors.ctypes.data
    _sgemm(letters.ctypes.data, letters.ctypes.data + 1, s, s + 4, s + 8, f, a, s + 12, b, s + 16, f + 4, c, s + 20)


@njit(cache=True, nogil=True)
def within(targets, num_classes):
    """Whether every target is a class."""
    inside = True
    for target in targets:
        inside &= (target >= 0) & (target < num_classes)
    return inside


@njit(cache=True, nogil=True)
def listed(address, batch, sizes):
    """`unlike` of the inputs at `address`."""
    return unlike(carray(float_pointer(address), (batch, sizes[0])), sizes[1])


@njit(cache=True, nogil=True)
def forward(buffers, parameters, sizes, batch, lists):
    """buffers: inputs, targets, kept, loss. Fills kept with every h_l and the softmax, one after the other.

    lists: the entries of the inputs by `unlike`, or empty arrays.
    """
    depth = len(sizes) - 1
    source, kept = buffers[0], buffers[2]
    for layer in range(depth):
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        z = carray(float_pointer(kept), (batch, fan_out))
        bias = carray(float_pointer(parameters[depth + layer]), (fan_out,))
        if layer == 0 and len(lists[2]):
            x = carray(float_pointer(source), (batch, fan_in))
            weight = carray(float_pointer(parameters[0]), (fan_out, fan_in))
            times_transposed(x, lists[0], lists[1], lists[2], weight, bias, z)
        else:
            for b in range(batch):
                z[b] = bias
            _product((True, False), (fan_out, batch, fan_in), parameters[layer], source, 1.0, kept)
        if layer < depth - 1:
            flat = carray(float_pointer(kept), (batch * fan_out,))
            for i in range(len(flat)):
                flat[i] = np.float32(0) if flat[i] <= 0 else flat[i]
            source, kept = kept, kept + 4 * batch * fan_out
        else:
            loss = carray(float_pointer(buffers[3]), (1,))
            loss[0] = _softmax(z, carray(long_pointer(buffers[1]), (batch,))) / batch


@njit(cache=True, nogil=True)
def _softmax(z, targets):
    """Turns rows of z into probabilities; returns the sum of equation (2) over the batch."""
    total = 0.0
    for b in range(len(z)):
        row = z[b]
        top = row[0]
        for value in row:
            top = value if value > top else top
        right, mass = row[targets[b]] - top, np.float32(0)
        for k in range(len(row)):
            row[k] = math.exp(row[k] - top)
            mass += row[k]
        for k in range(len(row)):
            row[k] /= mass
        total += math.log(mass) - right
    return total


@njit(cache=True, nogil=True)
def backward(buffers, parameters, grads, sizes, batch, lists):
    """buffers: inputs, targets, kept, dL. grads: addresses for the inputs, the weights, the biases; 0 = not wanted."""
    depth = len(sizes) - 1
    kept = buffers[2] + 4 * batch * sizes[1:depth].sum()
    delta, behind = np.empty(batch * sizes[1:].max(), np.float32), np.empty(batch * sizes[1:].max(), np.float32)
    _output_delta(carray(float_pointer(kept), (batch, sizes[depth])), carray(long_pointer(buffers[1]), (batch,)),
                  carray(float_pointer(buffers[3]), (1,))[0], delta)
    for layer in range(depth - 1, -1, -1):
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        kept = kept - 4 * batch * fan_in if layer else buffers[0]
        dz = delta.ctypes.data
        if layer == 0 and grads[1] and len(lists[2]):
            x = carray(float_pointer(kept), (batch, fan_in))
            product = carray(float_pointer(grads[1]), (fan_out, fan_in))
            rows = delta[: batch * fan_out].reshape(batch, fan_out)
            transposed_times(rows, x, lists[0], lists[1], lists[2], product)
        elif grads[1 + layer]:
            _product((False, True), (fan_in, fan_out, batch), kept, dz, 0.0, grads[1 + layer])
        if grads[1 + depth + layer]:
            _sum_rows(delta[: batch * fan_out].reshape(batch, fan_out),
                      carray(float_pointer(grads[1 + depth + layer]), (fan_out,)))
        if layer:
            _product((False, False), (fan_in, batch, fan_out), parameters[layer], dz, 0.0, behind.ctypes.data)
            hidden = carray(float_pointer(kept), (batch * fan_in,))
            for i in range(len(hidden)):
                behind[i] = np.float32(0) if hidden[i] <= 0 else behind[i]
            delta, behind = behind, delta
        elif grads[0]:
            _product((False, False), (fan_in, batch, fan_out), parameters[0], dz, 0.0, grads[0])


@njit(cache=True, nogil=True)
def _output_delta(softmax, targets, grad, delta):
    """Equation (3) times the incoming gradient, flat."""
    batch, classes = softmax.shape
    factor = np.float32(grad / batch)
    for b in range(batch):
        for k in range(classes):
            delta[b * classes + k] = softmax[b, k] * factor
        delta[b * classes + targets[b]] -= factor


@njit(cache=True, nogil=True)
def _sum_rows(rows, out):
    out[:] = 0
    for row in rows:
        for i in range(len(row)):
            out[i] += row[i]


def _self_test() -> None:
    """Refuses a library whose sgemm counts in 64-bit integers or is not Fortran's."""
    a, b, c = (np.arange(1, 7, dtype=np.float32) for _ in range(3))
    _product((False, False), (2, 2, 3), a.ctypes.data, b.ctypes.data, 0.0, c.ctypes.data)
    if not np.allclose(c[:4].reshape(2, 2).T, a.reshape(3, 2).T @ b.reshape(2, 3).T):
        raise ImportError("torch's sgemm_ is not the one expected")


_self_test()
