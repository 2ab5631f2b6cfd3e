"""Time that a busy neighbour does not stretch: the processor's, of the quickest of three goes."""

import time
from collections.abc import Callable


def least_seconds(prepared: Callable[[], Callable[[], object]], bound: float) -> float:
    """What the quickest of three goes took; there is a second and a third only while none took less than `bound`.

    `prepared` makes each go; what it does itself is not counted.
    """
    taken: list[float] = []
    while len(taken) < 3 and min(taken, default=bound) >= bound:
        go = prepared()
        start = time.process_time()
        go()
        taken.append(time.process_time() - start)
    return min(taken)
