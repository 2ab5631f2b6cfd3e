"""C3: W1 beside one busy process, in shares of its idle speed; torch's default of all cores for comparison."""

import os
import statistics
import subprocess
import sys

from benchmarks.data import arrays
from benchmarks.race import Entry, Worker
from benchmarks.w1_mlp import BATCH

GATE = 0.9
OPTIONS = {"network": "mlp", "optimiser": "sgd", "lr": 0.1, "batch": BATCH}


def report(rounds: int, seconds: float) -> list[str]:
    cores = os.cpu_count() or 1
    every = {name: str(cores) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    entries = [
        Entry(name="shinso", program="benchmarks.ours:mlp", options=OPTIONS, peer=False, gate=GATE),
        Entry(name="plain PyTorch, one thread", program="benchmarks.peers.plain:plain", options=OPTIONS),
        Entry(name="plain PyTorch, all cores", program="benchmarks.peers.plain:plain",
              options={**OPTIONS, "threads": cores}, environment=every),
    ]
    lines = ["| contestant | beside a busy process / idle, median (range) | gate |", "|---|---|---|"]
    for entry in entries:
        worker = Worker(entry, arrays())
        if worker.missing:
            lines.append(f"| {entry.name} | missing: {worker.missing[:80]} | |")
            continue
        shares = []
        for _ in range(max(5, rounds)):
            idle = worker.ask(do="work", seconds=seconds)
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            loaded = worker.ask(do="work", seconds=seconds)
            busy.kill()
            busy.wait()
            shares.append(loaded["steps"] / loaded["wall"] / (idle["steps"] / idle["wall"]))
        worker.close()
        middle = statistics.median(shares)
        verdict = "" if entry.gate is None else f"{'holds' if middle >= GATE else 'FAILS'} (>= {GATE})"
        lines.append(f"| {entry.name} | {middle:.2f} ({min(shares):.2f}..{max(shares):.2f}) | {verdict} |")
    return lines
