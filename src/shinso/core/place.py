"""Where and how a program computes: device, precision, compilation, threads."""

import os
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Place:
    """A resolved decision (no `auto` left), handed to `build(setup, place)`; the loop never sees it."""

    device: str = "cpu"
    """a torch device: cpu, cuda, cuda:1, mps"""
    precision: Literal["fp32", "bf16"] = "fp32"
    """number format of the forward pass; weights and updates stay fp32"""
    compile: bool = False
    """whether networks pass through torch.compile"""
    threads: int = 1
    """CPU threads inside one operation"""
    processes: int = 1
    """how many share every batch, each computing its part of the gradient"""
    rank: int = 0
    """which of them this one is"""


def process() -> tuple[int, int]:
    """(rank, number) of this process among those that `torchrun` started together; (0, 1) without it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def cores() -> int:
    """Processor cores that this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
