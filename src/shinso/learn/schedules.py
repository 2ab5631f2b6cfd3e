"""Learning rates over a run, as a factor of progress 0..1, so that they need no state and resume by themselves."""

import math


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def one_cycle(progress: float, peak: float = 0.25) -> float:
    """A straight line from 0.1 up to 1 at `peak`, then half a cosine down to 0 (Smith 2018, with a cosine tail)."""
    if progress < peak:
        return 0.1 + 0.9 * progress / peak
    return cosine((progress - peak) / (1 - peak))
