"""Data sets as shinso splits them, written once as plain arrays for programs that do not have shinso."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from shinso.data.examples import open_data


@functools.cache
def folder() -> Path:
    """Where they stand until the benchmarks end."""
    return Path(tempfile.mkdtemp(prefix="shinso-benchmark-"))


@functools.cache
def arrays(name: str = "mnist") -> Path:
    """An .npz of train_inputs uint8 (n, channels, height, width), train_targets int64 (n,), test_..., mean and std.

    Mean and std are numbers for one channel, else one for each.
    """
    source = open_data(name)
    statistics = {"mean": source.about.mean, "std": source.about.std}
    content = {key: np.float32(values[0] if len(values) == 1 else values) for key, values in statistics.items()}
    for part in ("train", "test"):
        examples = getattr(source, part)
        content[f"{part}_inputs"], content[f"{part}_targets"] = examples.inputs.numpy(), examples.targets.numpy()
    path = folder() / f"{name}.npz"
    np.savez(path, **content)
    return path
