"""Ink brought into MNIST's form: fitted into a 20x20 box with its aspect kept, centred by mass in 28x28.

Each output pixel is a weighted mean of the input, so scaling, smoothing and the shift by a fraction of a pixel are one
matrix product on either side of the image.

    out = W_y ink W_x^T,   W[o, i] = k((u(o) - i) / r) / r,   u(o) = (o - 14) / s + c                    (1)

with the scale s = box / (longer side of the ink), the centre of mass c, the cubic kernel k, and r = max(1, 1/s), which
widens the kernel when the image shrinks, so that nothing aliases. The preparation is that of LeCun 1998, section III;
in the published files the centre of mass lies on pixel 14, counted from 0, give or take half a pixel.
"""

import numpy as np

SIDE, BOX = 28, 20


def fit_box(ink: np.ndarray, faint: float = 0.12) -> np.ndarray:
    """Ink (n, height, width) in 0..1, at least one pixel above `faint` each, to (n, 28, 28) in 0..1 by (1)."""
    ink = np.ascontiguousarray(ink, dtype=np.float32)
    top, bottom = _extent(ink.max(2) > faint)
    left, right = _extent(ink.max(1) > faint)
    scale = BOX / np.maximum(bottom - top, right - left)
    mass = ink.sum((1, 2))
    y = (ink.sum(2) * np.arange(ink.shape[1])).sum(1) / mass
    x = (ink.sum(1) * np.arange(ink.shape[2])).sum(1) / mass
    out = _weights(ink.shape[1], y, scale) @ ink @ _weights(ink.shape[2], x, scale).transpose(0, 2, 1)
    return out.clip(0, 1)


def to_bytes(ink: np.ndarray) -> np.ndarray:
    """Ink in 0..1 to uint8 in 0..255, rounded."""
    return np.rint(ink * 255).astype(np.uint8)


def _extent(present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, length) of bool -> first true position and one past the last true position, for each row."""
    return present.argmax(1), present.shape[1] - present[:, ::-1].argmax(1)


def _weights(length: int, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The matrices W (n, 28, length) of (1), by Keys' cubic kernel."""
    at = (np.arange(SIDE) - SIDE / 2)[None, :] / scale[:, None] + centre[:, None]
    reach = np.maximum(1.0, 1.0 / scale)[:, None, None].astype(np.float32)
    t = np.abs(at[:, :, None].astype(np.float32) - np.arange(length, dtype=np.float32)) / reach
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, np.float32(0))) / reach
