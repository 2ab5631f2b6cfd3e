"""Writes what was measured, with everything needed to judge or repeat it."""

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

PACKAGES = ("torch", "numpy", "numba", "scikit-learn", "jax", "keras", "lightning",
            "autograd", "mygrad", "tinygrad", "micrograd")


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^(vendor_id|cpu family|model|model name)\s*:\s*(.*)$", text, re.MULTILINE))
    return f"{fields.get('model name', platform.machine())}, family {fields.get('cpu family', '?')}"


def publish(name: str, lines: list[str], out: Path) -> Path:
    """records/<workload>/<date>_<hardware>.md"""
    hardware = re.sub(r"[^a-z0-9]+", "-", f"{processor()} {os.cpu_count()} cores".lower()).strip("-")
    path = out / name / f"{datetime.date.today().isoformat()}_{hardware}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    facts = [f"- command: `python -m benchmarks {' '.join(sys.argv[1:])}`", f"- revision: {revision or 'unknown'}",
             f"- hardware: {processor()}, {os.cpu_count()} cores, {platform.machine()}; load at the end: {load}",
             f"- software: Python {platform.python_version()}, {', '.join(_versions())}"]
    path.write_text("\n".join([f"# {name}", "", *facts, "", *lines, ""]), encoding="utf-8")
    return path


def _versions() -> list[str]:
    """Of this environment and, where they differ, of the peers'."""
    code = ("import importlib.metadata as m, sys\n"
            "for p in sys.argv[1:]:\n"
            "    try: print(p, m.version(p))\n"
            "    except m.PackageNotFoundError: pass")
    ours = [f"{p} {importlib.metadata.version(p)}" for p in PACKAGES if _installed(p)]
    peers = os.environ.get("SHINSO_PEERS_PYTHON")
    if not peers:
        return ours
    there = subprocess.run([peers, "-c", code, *PACKAGES], capture_output=True, text=True).stdout.splitlines()
    return [*ours, *(f"peers' {line}" for line in there if line not in ours)]


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
