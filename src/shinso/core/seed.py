"""One seed in, named independent streams out."""

import hashlib

import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for the stream `name`; streams of different names are independent for every purpose here."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, name: str, device: str = "cpu") -> torch.Generator:
    """A generator of its own for each purpose, so that adding one draw somewhere moves no other stream."""
    return torch.Generator(device=device).manual_seed(derive(seed, name))


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch (all devices) for code that draws from the global streams."""
    import random

    import numpy as np

    random.seed(derive(seed, "python"))
    np.random.seed(derive(seed, "numpy") & 0xFFFFFFFF)  # noqa: NPY002 - the legacy global stream is what users call
    torch.manual_seed(derive(seed, "torch"))
