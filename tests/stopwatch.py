"""Time that a busy neighbour does not stretch: processor seconds of the quickest of three goes, at a known pace."""

import time
from collections.abc import Callable

import torch

YARD = 0.006
"""processor seconds of one `_yard` on a quiet core of the kind on which the bounds were chosen (AMD Zen 4)"""


def least_seconds(prepared: Callable[[], Callable[[], object]], bound: float) -> float:
    """What the quickest of three goes took; there is a second and a third only while none took less than `bound`.

    `prepared` makes each go; what it does itself is not counted. A core that is slower at this moment, because its
    twin is at work or its clock is low, counts its seconds as fewer; a faster one does not count them as more.
    """
    taken: list[float] = []
    while len(taken) < 3 and min(taken, default=bound) >= bound:
        go = prepared()
        before = _yard()
        start = time.process_time()
        go()
        seconds = time.process_time() - start
        taken.append(seconds / max(1.0, (before + _yard()) / (2 * YARD)))
    return min(taken)


def _yard() -> float:
    """Processor seconds of a fixed piece of work of the kind that is measured: small products, and Python's own."""
    start, x = time.process_time(), torch.full((64, 64), 1 / 64)
    for _ in range(500):
        x = (x @ x).clamp_max(1.0)
    sum(k * k for k in range(30_000))
    return time.process_time() - start
