"""Every global stream of random numbers, taken and put back.

A program should draw from generators of its own; this is for the code that does not. Streams inside compiled Numba
functions and data loader workers cannot be reached, and nothing here may draw from them.
"""

import random
from typing import Any

import numpy as np
import torch

from shinso.core.seed import derive


def seed(number: int) -> None:
    """Every global stream begins from `number`: for what draws from them in a run, such as dropout layers."""
    random.seed(derive(number, "python"))
    np.random.seed(derive(number, "numpy") & 0xFFFFFFFF)
    torch.manual_seed(derive(number, "torch"))  # all devices


def capture() -> dict[str, Any]:
    """The states of Python, NumPy, torch on the CPU and on every device that is in use, as a state tree."""
    version, words, gauss = random.getstate()
    states: dict[str, Any] = {
        "python": {"version": version, "words": np.array(words, dtype=np.uint32), "gauss": gauss},
        "numpy": np.random.get_state(legacy=False),  # the legacy global stream is what users call
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore(states: dict[str, Any]) -> None:
    """Puts back what `capture` took; states of devices that this machine does not have are left out."""
    python = states["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, device)
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
