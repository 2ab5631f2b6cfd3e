"""Ends `shinso run` at chosen moments, resumes it, and compares with an undisturbed run.

`python kill_run.py FOLDER SIGNAL POINTS WORDS...` runs `shinso run WORDS...` whole once and POINTS times with an end in
between, spread over everything from the first line to the report, and prints one JSON object. SIGNAL: `kill`, `term` or
`int`. The words go through the command line's own `main`, in forked children, so that torch is imported once.
"""

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from shinso.cli.main import main
from shinso.engine.checkpoint import load, verify

SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}
WARM = ("shinso.cli.run", "shinso.cli.training", "shinso.cli.ending", "shinso.report.page", "shinso.report.curves",
        "shinso.report.story", "shinso.report.events", "shinso.kernels.conv_pool", "torch._dynamo", "numba",
        "matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image", "PIL.PngImagePlugin")  # fmt: skip


def started(log: Path, words: Sequence[str]) -> int:
    """The process id of a child that runs the command line, its words on standard error going to `log`."""
    child = os.fork()
    if child == 0:
        with open(log, "ab") as file:
            os.dup2(file.fileno(), 2)
            os.dup2(file.fileno(), 1)
        code = 99
        try:
            main(["run", *words])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outcome(path: Path) -> dict[str, Any]:
    """Everything that must be the same: rows, metrics, the last checkpoint to the bit, the pictures."""
    summary = json.loads((path / "summary.json").read_bytes())
    last = path / "checkpoints" / (path / "checkpoints/latest").read_text().strip()
    tensors = load_file(last / "state.safetensors")
    pictures = {file.name: file.read_bytes() for file in sorted((path / "pictures").glob("*.png"))}
    return {"rows": (path / "records.jsonl").read_bytes(), "finished": summary["finished"], "step": summary["step"],
            "metrics": summary["metrics"], "checkpoint": last.name, "tree": json.loads(
                (last / "manifest.json").read_bytes())["tree"],
            "tensors": {name: (str(value.dtype), tuple(value.shape), value.numpy(force=True).tobytes())
                        for name, value in tensors.items()}, "pictures": pictures}  # fmt: skip


def complete(path: Path) -> list[str]:
    """What a finished run lacks, or has too much of."""
    names = {file.name for file in path.iterdir()}
    lacking = [name for name in ("report.html", "curves.png", "setup.json", "data.json") if name not in names]
    left = [str(file.relative_to(path)) for file in path.rglob("*") if ".tmp-" in file.name or ".gone-" in file.name]
    return lacking + left + verify(path / "checkpoints" / (path / "checkpoints/latest").read_text().strip())


def promised(path: Path) -> int:
    """The step that `latest` names."""
    latest = path / "checkpoints" / "latest"
    return int(latest.read_text().removeprefix("step-")) if latest.exists() else 0


def again(path: Path, log: Path, words: Sequence[str]) -> int:
    """Continues as a user would: `--resume` where a run is, the same command where none came to be."""
    own = ["--resume", str(path)] if (path / "setup.json").exists() else [*words, "--out", str(path)]
    return started(log, own)


def sweep(root: Path, how: str, points: int, words: Sequence[str]) -> dict[str, Any]:
    """Counts: runs cut short, lost checkpoints, differences, wrong exit codes; and what went wrong, in words."""
    whole, log = root / "whole", root / "log"
    for path in (root / "first", whole):  # the first one fills the caches of compiled kernels
        began = time.perf_counter()
        if ended(started(log, [*words, "--out", str(path)])) != 0:
            raise RuntimeError(f"the undisturbed run failed: {log.read_text()}")
    taken, expected = time.perf_counter() - began, outcome(whole)
    number = SIGNALS[how]
    allowed = {0, -number, 128 + number} if how != "kill" else {0, -number}
    result: dict[str, Any] = {"points": points, "cut": 0, "before_setup": 0, "after_last_row": 0, "lost": 0,
                              "differ": 0, "codes": 0, "incomplete": 0, "words": []}  # fmt: skip
    draw = random.Random(points)
    for point in range(points):
        path, log = root / f"run-{point}", root / f"log-{point}"
        child = started(log, [*words, "--out", str(path)])
        for cut in range(1 + point % 3):  # every third run is ended three times
            time.sleep(taken * (point + draw.random()) / points if cut == 0 else taken * draw.random())
            os.kill(child, number)
            code = ended(child)
            result["cut"] += code != 0
            result["before_setup"] += not (path / "setup.json").exists()
            records = path / "records.jsonl"
            result["after_last_row"] += code != 0 and records.exists() and records.read_bytes() == expected["rows"]
            if code not in allowed:
                result["codes"] += 1
                result["words"].append(f"point {point}: ended with {code}")
            if (step := promised(path)) and load(path / "checkpoints", warn=lambda _: None).step < step:
                result["lost"] += 1
            child = again(path, log, words)
        code = ended(child)
        if code != 0 or "Traceback" in log.read_text():
            result["codes"] += 1
            result["words"].append(f"point {point}: resumed with {code}: {log.read_text()[-500:]}")
            continue
        found = outcome(path)
        if wrong := [name for name, value in expected.items() if found[name] != value]:
            result["differ"] += 1
            result["words"].append(f"point {point}: differs in {wrong}")
        if lacking := complete(path):
            result["incomplete"] += 1
            result["words"].append(f"point {point}: {lacking}")
        shutil.rmtree(path)
    return {**result, "one_run_seconds": round(taken, 2)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.fsync = lambda file: None  # a killed process does not lose what the system has, and the sweep is quicker
    folder, how, points, *words = sys.argv[1:]
    for name in (*WARM, f"shinso.{words[0]}"):
        importlib.import_module(name)
    print(json.dumps(sweep(Path(folder), how, int(points), words), ensure_ascii=False))
