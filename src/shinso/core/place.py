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


def cores() -> int:
    """Processor cores that this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
