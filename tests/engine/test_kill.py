"""A run that is killed at any moment loses no checkpoint, and resumed it ends bit-identical to the undisturbed one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

posix = pytest.mark.skipif(os.name == "nt", reason="the sweep forks")


def sweep(tmp_path: Path, how: str, points: int) -> dict[str, Any]:
    script = Path(__file__).with_name("tiny_run.py")
    done = subprocess.run([sys.executable, str(script), "sweep", str(tmp_path), how, str(points), "cached"],
                          capture_output=True, text=True, timeout=500, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no warning, no trace"
    return json.loads(done.stdout)


@posix
@pytest.mark.parametrize("how", ["time", "call", "term"])
@pytest.mark.parametrize("points", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_no_end_loses_a_checkpoint_and_every_resume_is_exact(tmp_path: Path, how: str, points: int):
    result = sweep(tmp_path, how, points)
    assert result["interrupted"] >= points / 2, f"too few runs were hit to prove anything: {result}"
    assert result["lost"] == result["differ"] == result["codes"] == result["late"] == 0, result
