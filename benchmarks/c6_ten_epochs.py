"""C6: ResNet-20 on CIFAR-10, ten epochs with flips and shifted crops: accuracy on the test part, three seeds.

Both programs follow one recipe - SGD, momentum 0.9, largest rate 0.2 in one cycle, decay 5e-4, batch 128 - from their
own random numbers. They run side by side, each on a core of its own; time is the processor's, training alone.
"""

import json
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from benchmarks.data import arrays
from benchmarks.race import Entry, Worker

SEEDS, EPOCHS, WITHIN, FASTER = range(3), 10, 0.003, 1.8
STORE = Path("records/c6_ten_epochs/measured.json")
OPTIONS = {"network": "resnet20", "optimiser": "sgd", "lr": 0.2, "momentum": 0.9, "batch": 128, "epochs": EPOCHS,
           "decay": 5e-4}
WRITING = Lock()
PLAIN, OURS = "plain PyTorch, data resident", "shinso bf16"


def trained(core: int, name: str) -> None:
    """Runs contestant `name` on that core, once for each seed that the store lacks."""
    for seed in SEEDS:
        key = f"{name}, seed {seed}"
        if key in _measured():
            continue
        options = {**OPTIONS, "seed": seed, "core": core}
        entry = Entry(name=name, program="benchmarks.peers.plain:recipe", options=options)
        if name == OURS:
            entry = Entry(name=name, program="benchmarks.ours:recipe", options={**options, "precision": "bf16"},
                          peer=False)
        worker = Worker(entry, arrays("cifar10"))
        found = worker.ask(do="train") if not worker.missing else {"missing": worker.missing}
        worker.close()
        if "missing" in found:
            raise RuntimeError(f"{name}: {found['missing']}")
        STORE.parent.mkdir(parents=True, exist_ok=True)
        with WRITING:
            STORE.write_text(json.dumps({**_measured(), key: found}, indent=1) + "\n", encoding="utf-8")


def _measured() -> dict[str, dict[str, float]]:
    return json.loads(STORE.read_text(encoding="utf-8")) if STORE.is_file() else {}


def report(rounds: int, seconds: float) -> list[str]:
    arrays("cifar10")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(trained, (0, 1), (PLAIN, OURS)))
    lines = ["| contestant | accuracy of each seed | mean | minutes of processor, median | by wall clock |",
             "|---|---|--:|--:|--:|"]
    found = {name: [_measured()[f"{name}, seed {seed}"] for seed in SEEDS] for name in (PLAIN, OURS)}
    for name, runs in found.items():
        each = ", ".join(f"{100 * run['accuracy']:.2f}" for run in runs)
        lines.append(f"| {name} | {each} | {100 * statistics.mean(run['accuracy'] for run in runs):.2f} | "
                     f"{statistics.median(run['cpu'] for run in runs) / 60:.1f} | "
                     f"{statistics.median(run['wall'] for run in runs) / 60:.1f} |")
    behind = statistics.mean(a["accuracy"] - b["accuracy"] for a, b in zip(found[PLAIN], found[OURS], strict=True))
    faster = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(found[PLAIN], found[OURS], strict=True))
    return [*lines, "",
            f"- accuracy: {-100 * behind:+.2f} points to the plain program, "
            f"{'holds' if behind <= WITHIN else 'FAILS'} (>= {-100 * WITHIN:.1f})",
            f"- by processor time {faster:.2f} times as fast, {'holds' if faster >= FASTER else 'FAILS'} (>= {FASTER})"]
