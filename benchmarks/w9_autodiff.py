"""W9: engines from first principles on one thread: MLP 784-128-64-10 (batch 100) and LeNet-5 (batch 128), SGD, float32.

Ratios are to PyTorch eager. The last table is a scalar engine, one example at a time; its plain program is micrograd.
"""

import statistics

from benchmarks.data import arrays
from benchmarks.race import Entry, Outcome, race, ratios, table

PEERS, OURS = "benchmarks.peers.first_principles", "benchmarks.ours_by_hand"
BATCH = {"mlp3": 100, "lenet": 128}


def races() -> dict[str, list[Entry]]:
    result = {}
    for network, title in (("mlp3", "MLP"), ("lenet", "LeNet-5")):
        lr = 0.1 if network == "mlp3" else 0.05
        options = {"network": network, "optimiser": "sgd", "lr": lr, "batch": BATCH[network]}
        result[title] = [
            Entry(name="PyTorch eager", program="benchmarks.peers.plain:plain", options=options),
            Entry(name="shinso.autodiff, recorded", program=f"{OURS}:Tape", options=options, peer=False,
                  gate=1.1 if network == "mlp3" else None),
            Entry(name="shinso.autodiff.byhand", program=f"{OURS}:ByHand", options=options, peer=False),
            Entry(name="HIPS autograd", program=f"{PEERS}:Autograd", options=options),
            Entry(name="MyGrad", program=f"{PEERS}:MyGrad", options=options),
            Entry(name="tinygrad, TinyJit", program=f"{PEERS}:Tinygrad", options=options),
        ]
        if network == "mlp3":
            result[title] += [
                Entry(name="layer classes in NumPy", program=f"{PEERS}:LayerClasses", options=options),
                Entry(name="written out in NumPy", program=f"{PEERS}:WrittenOut", options=options),
            ]
    return result


def report(rounds: int, seconds: float) -> list[str]:
    lines = []
    for title, entries in races().items():
        outcomes = race(entries, arrays(), rounds=rounds, seconds=seconds, steps=600 if title == "MLP" else 150)
        lines += [f"{title}:", "", *table(outcomes, entries[0].options["batch"]), "", *memory(outcomes), ""]
        if title == "MLP":
            lines += [*gates(outcomes), ""]
    scalars = [Entry(name="micrograd", program=f"{PEERS}:Micrograd"),
               Entry(name="shinso.autodiff.scalar", program=f"{OURS}:Scalar", peer=False)]
    outcomes = race(scalars, arrays(), rounds=rounds, seconds=seconds, steps=600)
    return [*lines, "scalar engines, MLP 2-16-16-1:", "", *table(outcomes, 1), ""]


def gates(outcomes: list[Outcome]) -> list[str]:
    """The recorded step beside the others of its kind, round by round."""
    by_name = {o.entry.name: o for o in outcomes if not o.missing}
    tape = by_name["shinso.autodiff, recorded"]
    lines = []
    for name, least in (("HIPS autograd", 1.9), ("MyGrad", 1.1), ("layer classes in NumPy", 0.9),
                        ("shinso.autodiff.byhand", 0.9)):
        if name in by_name:
            middle = statistics.median(ratios(tape, by_name[name]))
            verdict = "holds" if middle >= least else "FAILS"
            lines.append(f"- recorded step to {name}: {middle:.2f}, {verdict} (>= {least})")
    bare = statistics.median(ratios(tape, by_name["written out in NumPy"]))  # no layers at all: a goal, not a gate
    return [*lines, f"- recorded step to the mathematics written out in NumPy: {bare:.2f} (goal 0.9)"]


def memory(outcomes: list[Outcome]) -> list[str]:
    """The most that one step holds at once beside weights and data, in kB."""
    found = {o.entry.name: o.quality["step_kb"] for o in outcomes if not o.missing and "step_kb" in o.quality}
    lines = [f"- {name}: at most {held:,.0f} kB in one step" for name, held in found.items()]
    tape, layers = (found.get(name) for name in ("shinso.autodiff, recorded", "layer classes in NumPy"))
    if tape and layers:
        lines.append(f"- recorded step to layer classes: {tape / layers:.2f}, "
                     f"{'holds' if tape <= 1.5 * layers else 'FAILS'} (<= 1.5)")
    return lines
