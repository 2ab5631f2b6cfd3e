"""The native form of gather: reads each byte once and writes each float once."""

import numpy as np
from numba import carray, njit

from shinso.kernels.vector import byte_pointer, float_pointer, long_pointer

# An intrinsic takes one argument less than its source, which a type checker cannot know.
# pyright: reportCallIssue=false, reportPrivateImportUsage=false


@njit(cache=True, nogil=True)
def rows(data, index, mean, std, out, sizes):
    """Addresses; sizes = (n, channels, pixels, batch). False, and out half filled, on a bad index."""
    n, channels, pixels, batch = sizes
    images, chosen = carray(byte_pointer(data), (n, channels, pixels)), carray(long_pointer(index), (batch,))
    means, spreads = carray(float_pointer(mean), (channels,)), carray(float_pointer(std), (channels,))
    target = carray(float_pointer(out), (batch, channels, pixels))
    for b in range(batch):
        i = chosen[b]
        if i < 0 or i >= n:
            return False
        for c in range(channels):
            factor, shift = np.float32(1 / (255 * spreads[c])), np.float32(-means[c] / spreads[c])
            for p in range(pixels):
                target[b, c, p] = np.float32(images[i, c, p]) * factor + shift
    return True
