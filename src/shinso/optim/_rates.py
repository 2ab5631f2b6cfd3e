"""The rates of a run, step by step, as a schedule gives them: what the facts of the schedules compare."""

from collections.abc import Callable, Sequence

import torch

from shinso.optim.sgd import SGD

Make = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]
"""torch's scheduler for a given optimiser"""


def factors(schedule: Callable[[float], float], steps: int) -> list[float]:
    """Of each of `steps` steps, as a Program asks for them."""
    return [schedule(t / steps) for t in range(steps)]


def torchs(make: Make, steps: int, *, peak: float = 1.0, saved_at: int | None = None) -> list[float]:
    """The same from torch's scheduler over a rate of `peak`; saved and put into a fresh one before step `saved_at`."""
    found = []
    optimiser, scheduler = _made(make, peak)
    for t in range(steps):
        if t == saved_at:
            kept = optimiser.state_dict(), scheduler.state_dict()
            optimiser, scheduler = _made(make, peak)
            optimiser.load_state_dict(kept[0])
            scheduler.load_state_dict(kept[1])
        found.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        if t + 1 < steps:
            scheduler.step()
    return found


def furthest(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference between two lists of rates."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _made(make: Make, peak: float) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = SGD([torch.zeros(1, requires_grad=True)], lr=peak, momentum=0.9)
    return optimiser, make(optimiser)
