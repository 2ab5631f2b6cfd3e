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


def put_back(stream: torch.Generator, state: torch.Tensor) -> None:
    """Sets `stream` to a saved state; that of another kind of device says nothing here, and the stream stays.

    So a run from a CUDA device gives its weights to a program on the CPU. To continue a run exactly takes its device.
    """
    if state.shape == stream.get_state().shape:
        stream.set_state(state)


@contextmanager
def drawing_from(seed: int, name: str) -> Iterator[None]:
    """Inside, torch's global CPU stream is the stream `name`, for initialisers that take no generator."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, name))  # torch.manual_seed would move every device's
        yield


@contextmanager
def drawing_with(stream: torch.Generator) -> Iterator[None]:
    """Inside, the global stream of `stream`'s device is `stream`, and what is drawn advances it.

    For layers that take no generator, torch's Dropout for example, in a program whose state holds `stream`.
    """
    device = torch if stream.device.type == "cpu" else torch.get_device_module(stream.device)
    before = device.get_rng_state()
    device.set_rng_state(stream.get_state())
    try:
        yield
    finally:
        stream.set_state(device.get_rng_state())
        device.set_rng_state(before)
