"""C2: what the loop and the ready program cost per step beside the plainest loop over the same one-layer net."""

import statistics

from benchmarks.data import arrays
from benchmarks.race import Entry, race

GATE, GOAL = 25.0, 10.0
"""microseconds per step"""


def report(rounds: int, seconds: float) -> list[str]:
    plain, ours = race([
        Entry(name="plain", program="benchmarks.one_layer:plain", peer=False),
        Entry(name="shinso", program="benchmarks.one_layer:ours", peer=False),
    ], arrays(), rounds=max(5, rounds), seconds=seconds, steps=400)
    extra = [1e6 / a - 1e6 / b for a, b in zip(ours.cpu, plain.cpu, strict=True)]
    walls = [1e6 / a - 1e6 / b for a, b in zip(ours.wall, plain.wall, strict=True)]
    middle = statistics.median(walls)
    verdict = "holds" if middle <= GATE else "FAILS"
    return ["| quantity | us per step, median (range) | gate |", "|---|---|---|",
            f"| plain loop | {statistics.median(1e6 / a for a in plain.wall):.1f} | |",
            f"| shinso's surplus | {middle:.1f} ({min(walls):.1f}..{max(walls):.1f}) | {verdict} (<= {GATE:.0f}) |",
            f"| the same in processor time | {statistics.median(extra):.1f} ({min(extra):.1f}..{max(extra):.1f}) | |"]
