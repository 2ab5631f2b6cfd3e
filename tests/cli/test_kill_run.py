"""A real run that is ended at any moment goes on to the same rows, weights, metrics and pictures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

POINTS = int(os.environ.get("SHINSO_KILL_POINTS", "15"))
WORDS = ["vision.lenet", "--variant", "smoke", "--checkpoint-every", "1", "--threads", "1"]
posix = pytest.mark.skipif(os.name == "nt", reason="the sweep forks")


@posix
@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "term", "int"])
def test_a_run_that_is_ended_at_any_moment_ends_the_same(tmp_path: Path, how: str):
    script = Path(__file__).with_name("kill_run.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SHINSO_LANG": "en"}
    command = [sys.executable, str(script), str(tmp_path), how, str(POINTS), *WORDS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + 30 * POINTS, env=environment,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["cut"] >= POINTS / 2, f"too few runs were hit to prove anything: {result}"
    assert result["lost"] == result["differ"] == result["codes"] == result["incomplete"] == 0, result
