"""MNIST as shinso splits it, written once as plain arrays for programs that do not have shinso."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from shinso.data.examples import open_data


@functools.cache
def arrays() -> Path:
    """An .npz of train_inputs uint8 (n, 1, 28, 28), train_targets int64 (n,), test_..., mean and std."""
    source = open_data("mnist")
    content = {"mean": np.float32(source.about.mean[0]), "std": np.float32(source.about.std[0])}
    for part in ("train", "test"):
        examples = getattr(source, part)
        content[f"{part}_inputs"], content[f"{part}_targets"] = examples.inputs.numpy(), examples.targets.numpy()
    path = Path(tempfile.mkdtemp(prefix="shinso-benchmark-")) / "mnist.npz"
    np.savez(path, **content)
    return path
