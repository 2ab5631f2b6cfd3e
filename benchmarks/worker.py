"""One contestant, resident: reads orders as JSON lines on stdin, answers as JSON lines on stdout.

    {"do": "quality", "steps": 600}  ->  {"loss": mean over the last quarter, "accuracy": on the test part}
    {"do": "work", "seconds": 0.5}   ->  {"steps": 900, "wall": 0.51, "cpu": 0.50}
    {"do": "train"}                  ->  {"wall": 900.1, "cpu": 899.0, "accuracy": 0.87}, one whole training
    {"do": "until", "accuracy": 0.97, "steps": 550, "most": 40}  ->  {"epochs": 7, "accuracy": 0.9712}
"""

import importlib
import json
import os
import sys
import time
import tracemalloc
from typing import Any

import numpy as np


def work(contestant: Any, seconds: float) -> dict[str, float]:
    """As many steps as fit into about `seconds`, after two to find the pace."""
    begin = time.perf_counter()
    contestant.steps(2)
    pace = (time.perf_counter() - begin) / 2
    count = max(1, min(2000, int(seconds / 4 / max(pace, 1e-6))))
    done, cpu, begin = 0, time.process_time(), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        contestant.steps(count)
        done += count
    return {"steps": done, "wall": time.perf_counter() - begin, "cpu": time.process_time() - cpu}


def quality(contestant: Any, steps: int) -> dict[str, float]:
    contestant.steps(steps - steps // 4)
    losses = [float(loss) for loss in contestant.steps(steps // 4)]
    found = {"loss": float(np.mean(losses)), "accuracy": contestant.accuracy()}
    if getattr(contestant, "in_numpy", False):  # whose memory Python's own counter sees
        found["step_kb"] = step_kb(contestant)
    return found


def step_kb(contestant: Any) -> float:
    """The most that one step allocates at once, in kB."""
    tracemalloc.start()
    contestant.steps(1)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    contestant.steps(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return (peak - before) / 1024


def until(contestant: Any, accuracy: float, steps: int, most: int) -> dict[str, float]:
    """Epochs of `steps` steps until the test part is answered well enough."""
    reached = 0.0
    for epoch in range(1, most + 1):
        contestant.steps(steps)
        reached = contestant.accuracy()
        if reached >= accuracy:
            return {"epochs": epoch, "accuracy": reached}
    raise RuntimeError(f"only {reached:.4f} after {most} epochs")


def train(contestant: Any) -> dict[str, float]:
    """All of it, once."""
    begin, cpu = time.perf_counter(), time.process_time()
    contestant.train()
    spent = {"wall": time.perf_counter() - begin, "cpu": time.process_time() - cpu}
    return {**spent, "accuracy": contestant.accuracy()}


def main(target: str, path: str, options: str) -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    if json.loads(options).get("core") is not None:
        os.sched_setaffinity(0, {json.loads(options)["core"]})
    try:
        module, _, name = target.partition(":")
        make = getattr(importlib.import_module(module), name)
        with np.load(path) as file:
            data = dict(file)
        contestant = make(data, json.loads(options))
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return
    print(json.dumps({"ready": True}), file=answers, flush=True)
    orders = {"work": work, "quality": quality, "until": until, "train": train}
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(orders[order.pop("do")](contestant, **order)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
