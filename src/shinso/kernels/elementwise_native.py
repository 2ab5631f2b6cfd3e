"""The native form of elementwise: a loop around a rule, compiled for each rule, number of states and type."""

# An intrinsic takes one argument less than its source, which a type checker cannot know.
# pyright: reportUnusedExpression=false, reportCallIssue=false, reportPrivateImportUsage=false
# pyright: reportAttributeAccessIssue=false

import functools
import hashlib
import inspect
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit, types
from numba.extending import intrinsic, overload, register_jitable
from numba.np.unsafe.ndarray import to_fixed_tuple

from shinso.kernels import elementwise

ENOUGH = 200_000
"""entries for a thread of its own: less is done before it has begun"""
_FAST = {"contract", "nsz", "arcp"}
"""a product and a sum may be rounded once, a quotient may be a product with a reciprocal; nan and inf stay"""


def run(rule, places, columns, numbers, turn):
    """Updates in place. `places.rows` (tensors, columns) are addresses, `places.sizes` (tensors,) their entries."""
    rows, sizes = places.rows, places.sizes
    kind = np.float32 if places.dtype == torch.float32 else np.float64
    loop = _loop(rule, rows.shape[1])
    h, sign, decay = tuple(map(kind, numbers)) or (kind(0),), kind(turn[0]), kind(turn[1])
    threads = torch.get_num_threads()
    if threads == 1 or sizes.sum() < ENOUGH * 2:
        loop(rows, sizes, h, sign, decay)
        return
    first, *rest = parts(rows, sizes, min(threads, int(sizes.sum() // ENOUGH)), kind(0).itemsize)
    others = [_workers(os.getpid(), threads).submit(loop, *part, h, sign, decay) for part in rest]
    loop(*first, h, sign, decay)
    for other in others:
        other.result()


def parts(rows, sizes, count, itemsize):
    """The same entries as `count` pairs (rows, sizes) of nearly as many entries each; a tensor may be cut."""
    ends = np.cumsum(sizes)
    cuts = np.arange(1, count + 1) * ends[-1] // count
    bounds = np.unique(np.concatenate([[0], ends, cuts]))
    begins, lengths = bounds[:-1], np.diff(bounds)
    owner = np.searchsorted(ends, begins, side="right")
    pieces = rows[owner] + ((begins - (ends - sizes)[owner]) * itemsize)[:, None]
    places = np.searchsorted(begins, cuts[:-1])
    return list(zip(np.split(pieces, places), np.split(lengths, places), strict=True))


@functools.lru_cache(maxsize=1)
def _workers(process, threads):
    """Threads of this process: those of a parent do not live on in a fork."""
    return ThreadPoolExecutor(threads - 1, "shinso elementwise")


@functools.cache
def _loop(rule, columns):
    inlined = register_jitable(inline="always")(rule)
    source = hashlib.sha256(inspect.getsource(rule).encode()).hexdigest()

    @njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
    def loop(rows, sizes, h, sign, decay):
        source  # noqa: B018 - a changed rule is another function to Numba's cache
        for t in range(rows.shape[0]):
            row = to_fixed_tuple(rows[t], columns)
            for i in range(sizes[t]):
                entry = _load(row, i, sign)
                y, states = inlined(entry[0], sign * entry[1] + decay * entry[0], entry[2:], h)
                _store(row, i, y, states)

    return loop


def _scope(module, columns, j, *, others):
    """Marks column j, or all the others: they share no memory, so that no test of that is needed."""
    domain = module.add_metadata(["shinso columns"])
    scopes = [module.add_metadata([f"shinso column {i}", domain]) for i in range(columns)]
    return module.add_metadata([s for i, s in enumerate(scopes) if (i != j) == others])


def _entry(builder, row, j, i, kind):
    pointer = builder.inttoptr(builder.extract_value(row, j), kind.as_pointer())
    return builder.gep(pointer, [i], inbounds=True)


def _marked(instruction, module, columns, j):
    instruction.set_metadata("alias.scope", _scope(module, columns, j, others=False))
    instruction.set_metadata("noalias", _scope(module, columns, j, others=True))


@intrinsic
def _load(typingctx, row, i, like):
    """Entry i of every column, as a tuple of the type of `like`."""
    result = types.UniTuple(like, row.count)

    def emit(context, builder, signature, args):
        kind, found = context.get_value_type(like), []
        for j in range(row.count):
            value = builder.load(_entry(builder, args[0], j, args[1], kind))
            _marked(value, builder.module, row.count, j)
            found.append(value)
        return context.make_tuple(builder, result, found)

    return result(row, i, like), emit


@intrinsic
def _store(typingctx, row, i, y, states):
    """Writes entry i of the weights and of the states; the gradients, column 1, are left alone."""

    def emit(context, builder, signature, args):
        kind = context.get_value_type(y)
        values = {0: args[2], **{2 + k: builder.extract_value(args[3], k) for k in range(len(states))}}
        for j, value in values.items():
            _marked(builder.store(value, _entry(builder, args[0], j, args[1], kind)), builder.module, row.count, j)
        return context.get_dummy_value()

    if len(states) and states != types.UniTuple(y, row.count - 2):
        raise TypeError(f"a rule gives {states} and {y}: a literal in it, or one state too few or too many")
    return types.void(row, i, y, states), emit


@overload(elementwise.sqrt)
def _sqrt(x):
    return lambda x: math.sqrt(x)


@overload(elementwise.absolute)
def _absolute(x):
    return lambda x: abs(x)


@overload(elementwise.sign)
def _sign(x):
    return lambda x: type(x)((x > 0) - (x < 0))


@overload(elementwise.maximum)
def _maximum(x, y):
    return lambda x, y: x if (x > y) | (x != x) else y


@overload(elementwise.minimum)
def _minimum(x, y):
    return lambda x, y: x if (x < y) | (x != x) else y


@overload(elementwise.where)
def _where(condition, x, y):
    return lambda condition, x, y: x if condition else y
