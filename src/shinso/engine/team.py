"""Processes that train one model together: each takes a share of every batch, and the gradients are averaged.

    g = sum_r (m_r / m) g_r,   g_r = (1/m_r) sum_{i in share r} grad J_i                                (1)

With the m_r examples of process r and m = sum_r m_r, (1) is the gradient of the whole batch, so all processes take the
same step from the same weights and never need to compare them. `torchrun` starts the processes and tells each its
rank; gloo carries the sums between processors, NCCL between CUDA devices.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor

from shinso.core.errors import Lost
from shinso.core.place import Place
from shinso.engine.interrupt import Interruptible
from shinso.engine.loop import Row
from shinso.engine.program import Program

PATIENCE = timedelta(minutes=30)
"""how long one process waits for another, which may be evaluating or saving"""


@contextmanager
def joined(place: Place) -> Iterator[None]:
    """Inside, the processes of `place` can sum; with one process nothing happens."""
    if place.processes == 1:
        yield
        return
    if place.device.startswith("cuda"):
        torch.cuda.set_device(place.device)
    with _company():
        dist.init_process_group("nccl" if place.device.startswith("cuda") else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def whole_gradient(weights: Iterable[Tensor], terms: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """(1) in place of the gradients of `weights`, where every process has a `share` m_r / m; the terms likewise.

    All travel as one vector. A weight that no process has a gradient for is left without one.
    """
    weights = list(weights)
    grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    there = torch.tensor([w.grad is not None for w in weights], dtype=grads[0].dtype, device=grads[0].device)
    values = torch.stack([term.to(grads[0]) for term in terms.values()])
    sent = torch.cat([*(grad.reshape(-1).mul(share) for grad in grads), values * share, there])
    with _company():
        dist.all_reduce(sent)
    *summed, told, found = sent.split([*(grad.numel() for grad in grads), len(terms), len(weights)])
    # What is here need not be looked up, which on a device would wait.
    known = [w.grad is not None for w in weights]
    known = known if all(known) else (found > 0).tolist()
    for weight, grad, whole, used in zip(weights, grads, summed, known, strict=True):
        if used:
            grad.copy_(whole.view_as(grad))
            weight.grad = grad
    return dict(zip(terms, told, strict=True))


def largest(numbers: Sequence[int], device: str = "cpu") -> list[int]:
    """The largest of each of these numbers among all processes; all wait for the last to ask."""
    sent = torch.tensor(numbers, device=device)
    with _company():
        dist.all_reduce(sent, dist.ReduceOp.MAX)
    return sent.tolist()


@final
class EndTogether:
    """A hook: what ends the run in one process, a signal or patience, ends it in all after the same step."""

    def __init__(self, place: Place, wish: Interruptible, exhausted: Callable[[], bool]):
        self.place, self.wish, self.exhausted = place, wish, exhausted

    def __call__(self, row: Row, program: Program) -> bool:
        signal, enough = largest([self.wish.signal or 0, int(self.exhausted())], self.place.device)
        self.wish.signal = signal or None
        return bool(signal or enough)


@contextmanager
def _company() -> Iterator[None]:
    """Inside, the loss of another process is told as such."""
    try:
        yield
    except RuntimeError as error:  # what torch and gloo raise has no other kind in common
        raise Lost(dist.get_rank() if dist.is_initialized() else 0) from error
