r"""Rules of the operations that move entries about: all are linear, so each needs its transposed map and nothing else.

<f t, g> = <t, f* g>: reshape is undone by reshape, a transposition by the inverse one, taking entries by adding them
back where they came from (twice, if they were taken twice), joining by cutting.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from shinso.autodiff.rules import Array, Linear


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    back = [0] * len(axes)
    for i, a in enumerate(axes):
        back[a % len(axes)] = i
    return tuple(back)


def basic(key: Any) -> bool:
    """Whether an index selects a view: made of whole numbers, slices, None and ... alone; no entry is taken twice."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(p is None or p is Ellipsis or (isinstance(p, (int, slice, np.integer)) and not isinstance(p, bool))
               for p in parts)


def _put(g: np.ndarray, shape: tuple[int, ...], key: Any) -> np.ndarray:
    """Zeros of the given shape with g added at `key`; entries that the key names twice add up."""
    x = np.zeros(shape, g.dtype)
    if basic(key):
        x[key] = g
    elif isinstance(key, np.ndarray) and key.dtype != bool and g.ndim > key.ndim:
        _add_rows(x, key.reshape(-1), g.reshape(key.size, *shape[1:]))
    else:
        np.add.at(x, key, g)
    return x


def _add_rows(x: np.ndarray, ids: np.ndarray, rows: np.ndarray) -> None:
    """x[ids[k]] += rows[k], sorted so that each row of x is written once."""
    if not ids.size:
        return
    ids = np.where(ids < 0, ids + len(x), ids)
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    x[ids[first]] = np.add.reduceat(rows[order], first, axis=0)


def _cut(g: Array, i: int, xs: Sequence[Array], axis: int) -> Array:
    """The part of g that came from the i-th of the joined arrays."""
    axis %= g.ndim
    start = sum(x.shape[axis] for x in xs[:i])
    return g[(slice(None),) * axis + (slice(start, start + xs[i].shape[axis]),)]


def _inside(widths: Sequence[tuple[int, int]], shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(before, before + n) for (before, _), n in zip(widths, shape, strict=True))


reshape = Linear("reshape", np.reshape, lambda i, g, xs, params: g.reshape(xs[0].shape),
                 "y = the entries of x in another shape; g_x = g in the shape of x", view=True)
transpose = Linear("transpose", np.transpose, lambda i, g, xs, params: g.transpose(_inverse(params[0])),
                   "y[i_p] = x[i]; g_x = g with the axes put back", view=True)
swapaxes = Linear("swapaxes", np.swapaxes, lambda i, g, xs, params: g.swapaxes(*params),
                  "y = x with two axes exchanged; g_x = g with the same two exchanged", view=True)
getitem = Linear("getitem", lambda x, key: x[key], lambda i, g, xs, params: put.on((g,), (xs[0].shape, *params)),
                 "y_k = x[key_k]; g_x[j] = sum of g_k over all k with key_k = j", view=True)
put = Linear("put", _put, lambda i, g, xs, params: g[params[1]], "y[j] = sum of x_k over key_k = j; g_x = g[key]")
concatenate = Linear("concatenate", lambda *xs: np.concatenate(xs[:-1], xs[-1]),
                     lambda i, g, xs, params: _cut(g, i, xs, *params),
                     "y = (x_1, x_2, ...) along one axis; g_i = the i-th part of g")
stack = Linear("stack", lambda *xs: np.stack(xs[:-1], xs[-1]),
               lambda i, g, xs, params: g[(slice(None),) * (params[0] % g.ndim) + (i,)],
               "y = (x_1, x_2, ...) along a new axis; g_i = g[i]")
pad = Linear("pad", np.pad, lambda i, g, xs, params: g[_inside(params[0], xs[0].shape)],
             "y = x with a frame of zeros; g_x = g without the frame")
flip = Linear("flip", np.flip, lambda i, g, xs, params: flip.on((g,), params),
              "y = x backwards along an axis; g_x = g backwards", view=True)
cumsum = Linear("cumsum", np.cumsum,
                lambda i, g, xs, params: flip.on((cumsum.on((flip.on((g,), params),), params),), params),
                "y_k = sum of x_j over j <= k; g_x[j] = sum of g_k over k >= j")
astype = Linear("astype", lambda x, dtype: x.astype(dtype), lambda i, g, xs, params: astype.on((g,), (xs[0].dtype,)),
                "y = x in another floating type; g_x = g in the type of x")
