"""One seed in, named independent streams out."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for the stream `name`; streams of different names are independent for every purpose here."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(seed: int, name: str, device: str = "cpu") -> torch.Generator:
    """A generator of its own for each purpose, so that adding one draw somewhere moves no other stream."""
    return torch.Generator(device=device).manual_seed(derive(seed, name))


@contextmanager
def drawing_from(seed: int, name: str) -> Iterator[None]:
    """Inside, torch's global CPU stream is the stream `name`, for initialisers that take no generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, name))
        yield
