"""A small deterministic run that draws from every random stream, and a sweep that kills it and resumes it.

`python tiny_run.py sweep FOLDER HOW POINTS DISK` runs it whole once, then POINTS times with an end in between, and
prints one JSON object. HOW: `time` (SIGKILL, spread over the run and within the steps), `term` (SIGTERM, the same),
`call` (the process kills itself at the n-th call that changes the disk). DISK: `forced`, or `cached` where fsync does
nothing: a
killed process does not lose what the system has, and the sweep is quicker. Each point is a forked child, so torch is
imported once.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faulty_disk import FaultyDisk

from shinso.core.place import Place
from shinso.core.record import plain
from shinso.core.seed import generator
from shinso.engine import saving
from shinso.engine.checkpoint import load, steps, verify
from shinso.engine.folder import RunFolder
from shinso.engine.hooks import Best, Evaluate
from shinso.engine.interrupt import Interruptible
from shinso.engine.loop import Row, run
from shinso.engine.program import Program

TOTAL, EVERY = 16, 2


class Tiny:
    """Adam on noise from Python, NumPy, torch and a generator of its own; about 300 kB of state."""

    def __init__(self, total: int = TOTAL):
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)
        self.total, self.rhythm = total, 3
        self.model = torch.nn.Linear(150, 150)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.own, self.array = generator(3, "own"), np.random.default_rng(3)

    def step(self, i: int) -> dict[str, Any]:
        inputs = torch.randn(8, 150) * random.random() + np.random.rand()
        target = torch.randn(8, 150, generator=self.own) + self.array.normal()
        self.optimiser.zero_grad()
        loss = (self.model(inputs) - target).square().mean()
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.detach()}

    def evaluate(self, split: str) -> dict[str, Any]:
        return {"loss": self.model.weight.detach().square().sum()}

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
                "own": self.own.get_state(), "array": self.array.bit_generator.state}  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.own.set_state(state["own"])
        self.array.bit_generator.state = state["array"]


def start_or_resume(path: Path) -> int:
    """What a command line does; returns the exit code."""
    exists = (path / "setup.json").exists()
    with (RunFolder.resume(path) if exists else RunFolder.create(path)) as folder, Interruptible() as interrupted:
        program, best, start = Tiny(), Best("validation_loss", higher=False), 0
        hooks = {"best": best}
        checkpointing = saving.Checkpointing(folder.checkpoints, EVERY, hooks, keep=2, better=lambda: best.improved,
                                             before=folder.flush)  # fmt: skip
        if not exists:
            folder.write("setup.json", {"system": "tiny", "variant": "smoke", "setup": {}, "place": vars(Place())})
        if steps(folder.checkpoints):
            start = saving.resume(program, hooks, load(folder.checkpoints))
        folder.truncate(start)

        def record(row: Row, program: Program) -> None:
            folder.append({"step": row.step, **plain(row.record), **row.added})

        for _ in run(program, Evaluate(), best, record, interrupted, checkpointing, start=start):
            pass
        checkpointing.save_now(program)
        return interrupted.exit_code


def outcome(path: Path) -> tuple[Any, ...]:
    """Everything that must be the same: the rows, and the last checkpoint to the bit with its tree."""
    last = path / "checkpoints" / f"step-{TOTAL}" / "manifest.json"
    manifest = json.loads(last.read_bytes())
    return (path / "records.jsonl").read_bytes(), manifest["files"], manifest["tree"]


def forked(work: Any) -> int:
    """The process id of a child that does `work` and exits with its result, quietly."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = work()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Patch:
    """The one method of pytest's monkeypatch that FaultyDisk wants; nothing is undone, the process dies."""

    setattr = staticmethod(setattr)


def dying(path: Path, at: int) -> int:
    FaultyDisk(Patch, at, then=lambda: os.kill(os.getpid(), signal.SIGKILL))
    return start_or_resume(path)


def calls(path: Path) -> int:
    """How many calls of one run change the disk."""
    reader, writer = os.pipe()

    def count() -> int:
        disk = FaultyDisk(Patch)
        code = start_or_resume(path)
        os.write(writer, str(len(disk.trace)).encode())
        return code

    ended(forked(count))
    os.close(writer)
    with open(reader, "rb") as file:
        return int(file.read())


def named(path: Path) -> int:
    """The step that `latest` names before the resume: what was promised to be kept."""
    latest = path / "checkpoints" / "latest"
    return int(latest.read_text().removeprefix("step-")) if latest.exists() else 0


def warm_up() -> None:
    """Lets torch import what it imports at the first update, once and not in every child; without autograd."""
    program = Tiny()
    for parameter in program.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    program.optimiser.step()


def wait_for(path: Path, rows: float, child: int) -> None:
    """Until the run has written so many rows, and a setup (before that it promises nothing), or has ended."""
    records = path / "records.jsonl"
    while not (path / "setup.json").exists() or not records.exists() or records.read_bytes().count(b"\n") < int(rows):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.0005)


def sweep(root: Path, how: str, points: int) -> dict[str, Any]:
    """Counts: runs cut short, lost checkpoints, resumes that differ, wrong exit codes, exits later than 5 s."""
    warm_up()
    began = time.perf_counter()
    if ended(forked(lambda: start_or_resume(root / "whole"))) != 0:
        raise RuntimeError("the undisturbed run failed")
    taken, expected = time.perf_counter() - began, outcome(root / "whole")
    total = calls(root / "counted") if how == "call" else 0
    result = {"points": points, "interrupted": 0, "lost": 0, "differ": 0, "codes": 0, "late": 0, "calls": total}
    wanted = (0, 143) if how == "term" else (0, -signal.SIGKILL)
    for point in range(points):
        path, share = root / f"run-{point}", (point + 0.5) / points
        if how == "call":
            code = ended(forked(lambda p=path, s=share: dying(p, 1 + int(s * total))))
        else:
            child = forked(lambda p=path: start_or_resume(p))
            wait_for(path, share * TOTAL, child)
            time.sleep(point * 0.618 % 1 * taken / TOTAL)
            sent = time.perf_counter()
            os.kill(child, signal.SIGTERM if how == "term" else signal.SIGKILL)
            code = ended(child)
            result["late"] += time.perf_counter() - sent > 5
        promised = named(path)
        if how == "term" and code == -signal.SIGTERM and promised == TOTAL:
            code = 0  # the run was over and saved, and nobody listened any more
        result["interrupted"] += code != 0
        result["codes"] += code not in wanted
        if promised:
            try:
                result["lost"] += load(path / "checkpoints", warn=print).step < promised
            except Exception as error:
                print(f"point {point}: {error}", file=sys.stderr)
                result["lost"] += 1
        result["codes"] += ended(forked(lambda p=path: start_or_resume(p))) != 0
        result["differ"] += outcome(path) != expected or bool(verify(path / "checkpoints" / f"step-{TOTAL}"))
        shutil.rmtree(path)
    return {**result, "seconds": round(time.perf_counter() - began, 1), "one_run_seconds": round(taken, 2)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["sweep", folder, how, points, disk]:
            if disk == "cached":
                os.fsync = lambda file: None
            print(json.dumps(sweep(Path(folder), how, int(points))))
        case ["run", folder]:
            sys.exit(start_or_resume(Path(folder)))
