"""Contestants as resident processes, rounds in random order, ratios to the plain program."""

import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A contestant of a workload: where its program stands and with which options it runs."""

    name: str
    program: str
    options: dict[str, Any] = field(default_factory=dict)
    peer: bool = True
    """runs in the peers' environment, SHINSO_PEERS_PYTHON"""
    gate: float | None = None
    """smallest ratio to the plain program that must hold"""
    environment: dict[str, str] = field(default_factory=dict)
    loss_within: float = 0.1
    """largest relative excess of the loss over the plain program's at which a ratio is printed"""
    accuracy_within: float = 0.01
    """by how much the accuracy may be below the plain program's"""


@dataclass
class Outcome:
    """What a contestant did: steps per second of each round, by wall clock and by processor time, and its quality."""

    entry: Entry
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    quality: dict[str, float] = field(default_factory=dict)
    missing: str = ""


class Worker:
    """A resident contestant."""

    def __init__(self, entry: Entry, data: Path):
        python = os.environ.get("SHINSO_PEERS_PYTHON", sys.executable) if entry.peer else sys.executable
        one = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        command = [python, "-m", "benchmarks.worker", entry.program, str(data), json.dumps(entry.options)]
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **one, **entry.environment}, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.missing = self.read().get("missing", "")

    def ask(self, **order: Any) -> dict[str, float]:
        assert self.process.stdin
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return self.read()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        if not line:
            return {"missing": (self.process.stderr.read().strip().splitlines() or ["ended silently"])[-1]}
        return json.loads(line)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def race(entries: Sequence[Entry], data: Path, *, rounds: int, seconds: float, steps: int) -> list[Outcome]:
    """The first entry is the plain program. One worker at a time works; the others wait."""
    outcomes, workers = [], []
    try:
        for entry in entries:
            worker, outcome = Worker(entry, data), Outcome(entry)
            workers.append(worker)
            outcomes.append(outcome)
            answer = {"missing": worker.missing} if worker.missing else worker.ask(do="quality", steps=steps)
            outcome.missing = answer.pop("missing", "")
            outcome.quality = answer
        pairs = [(w, o) for w, o in zip(workers, outcomes, strict=True) if not o.missing]
        for _ in range(rounds):
            for worker, outcome in random.sample(pairs, len(pairs)):
                answer = worker.ask(do="work", seconds=seconds)
                outcome.wall.append(answer["steps"] / answer["wall"])
                outcome.cpu.append(answer["steps"] / answer["cpu"])
    finally:
        for worker in workers:
            worker.close()
    return outcomes


def ratios(outcome: Outcome, plain: Outcome, clock: str = "wall") -> list[float]:
    """Speed over the plain program's, round by round."""
    return [a / b for a, b in zip(getattr(outcome, clock), getattr(plain, clock), strict=True)]


def learns(outcome: Outcome, plain: Outcome) -> bool:
    """As good as the plain program after the same number of steps."""
    return (outcome.quality["loss"] <= plain.quality["loss"] * (1 + outcome.entry.loss_within)
            and outcome.quality["accuracy"] >= plain.quality["accuracy"] - outcome.entry.accuracy_within)


def table(outcomes: Sequence[Outcome], batch: int) -> list[str]:
    """The result as rows of a Markdown table."""
    plain = outcomes[0]
    lines = ["| contestant | samples/s | ratio, median (range) | by CPU time | loss | accuracy | gate |",
             "|---|---|---|---|---|---|---|"]
    for outcome in outcomes:
        if outcome.missing:
            lines.append(f"| {outcome.entry.name} | missing: {outcome.missing[:80]} | | | | | |")
            continue
        quality = f"{outcome.quality['loss']:.4f} | {outcome.quality['accuracy']:.4f}"
        speed = f"{statistics.median(outcome.wall) * batch:,.0f}"
        if not learns(outcome, plain):
            lines.append(f"| {outcome.entry.name} | {speed} | refused: learns less | | {quality} | |")
            continue
        found = ratios(outcome, plain)
        middle = statistics.median(found)
        gate = outcome.entry.gate
        verdict = "" if gate is None else f"{'holds' if middle >= gate else 'FAILS'} (>= {gate})"
        by_cpu = statistics.median(ratios(outcome, plain, "cpu"))
        lines.append(f"| {outcome.entry.name} | {speed} | {middle:.2f} ({min(found):.2f}..{max(found):.2f}) | "
                     f"{by_cpu:.2f} | {quality} | {verdict} |")
    return lines
