"""C4: wall clock of a whole process, imports included, until 97 % of MNIST's test part is answered rightly; Adam."""

import statistics
import time

from benchmarks.data import arrays
from benchmarks.race import Entry, Worker
from benchmarks.w1_mlp import BATCH

GATE, TARGET, EPOCH, MOST = 1.0, 0.97, 550, 40
OPTIONS = {"network": "mlp", "optimiser": "adam", "lr": 0.001, "batch": BATCH}


def report(rounds: int, seconds: float) -> list[str]:
    entries = [
        Entry(name="shinso", program="benchmarks.ours:mlp", options=OPTIONS, peer=False),
        Entry(name="plain PyTorch, data resident", program="benchmarks.peers.plain:plain", options=OPTIONS),
        Entry(name="scikit-learn", program="benchmarks.peers.scikit:perceptron", options=OPTIONS),
        Entry(name="JAX lax.scan", program="benchmarks.peers.jax_mlp:scan", options={**OPTIONS, "core": 1}),
        Entry(name="tutorial DataLoader", program="benchmarks.peers.tutorial:tutorial", options=OPTIONS),
    ]
    times: dict[str, list[float]] = {entry.name: [] for entry in entries}
    notes = {entry.name: "" for entry in entries}
    for number in range(max(3, min(rounds, 5))):
        for entry in entries if number == 0 else entries[:-1]:  # the tutorial once: it is slow
            begin = time.perf_counter()
            worker = Worker(entry, arrays())
            found = worker.missing or worker.ask(do="until", accuracy=TARGET, steps=EPOCH, most=MOST)
            if isinstance(found, dict) and "epochs" in found:
                times[entry.name].append(time.perf_counter() - begin)
                notes[entry.name] = f"{found['epochs']:.0f} epochs, {found['accuracy']:.4f}"
            else:
                reason = found.get("missing", found) if isinstance(found, dict) else found
                notes[entry.name] = f"missing: {str(reason)[:80]}"
            worker.close()
    best = min((statistics.median(t) for name, t in times.items() if t and name != "shinso"), default=float("nan"))
    lines = ["| contestant | seconds, median (range) | to the best peer | last run | gate |", "|---|---|---|---|---|"]
    for name, found in times.items():
        if not found:
            lines.append(f"| {name} | | | {notes[name]} | |")
            continue
        middle = statistics.median(found)
        verdict = f"{'holds' if middle <= GATE * best else 'FAILS'} (<= {GATE})" if name == "shinso" else ""
        lines.append(f"| {name} | {middle:.2f} ({min(found):.2f}..{max(found):.2f}) | {middle / best:.2f} | "
                     f"{notes[name]} | {verdict} |")
    return lines
