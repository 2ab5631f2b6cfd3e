"""What every test shares: one thread, deterministic kernels, real data where it is present."""

import gc
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("SHINSO_CACHE", "none")  # tests leave nothing in the user's cache folder

import pytest
import torch

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True, warn_only=False)


def pytest_collection_finish() -> None:
    """The modules and the twenty thousand tests stay to the end: the collector need not walk them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1000)  # and what came since only after 10^10 more; graphs are freed by count


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; the test is skipped where nobody has placed one."""
    folder = os.environ.get("SHINSO_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SHINSO_DATA names no folder with real data sets on this machine")
    return Path(folder)
