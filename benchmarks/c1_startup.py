"""C1: how long the command line takes to answer, and that it does so without torch."""

import statistics
import subprocess
import sys
import time

GATES = {"--help": 0.3, "list": 0.8}


def report(rounds: int, seconds: float) -> list[str]:
    lines = ["| command | seconds, median (range) | torch imported | gate |", "|---|---|---|---|"]
    for command, gate in GATES.items():
        arguments = [sys.executable, "-m", "shinso.cli.main", command]
        found = [_timed(arguments) for _ in range(max(5, rounds))]
        listing = subprocess.run([sys.executable, "-X", "importtime", *arguments[1:]], capture_output=True, text=True)
        torch = any(line.split("|")[-1].strip() == "torch" for line in listing.stderr.splitlines())
        middle = statistics.median(found)
        verdict = "holds" if middle <= gate and not torch else "FAILS"
        lines.append(f"| shinso {command} | {middle:.2f} ({min(found):.2f}..{max(found):.2f}) | "
                     f"{'yes' if torch else 'no'} | {verdict} (<= {gate}) |")
    return lines


def _timed(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin
