"""C5: steps to the same loss, every method, five seeds: an MLP on MNIST and the tiny GPT of W6 on Shakespeare.

A method's rate is the best of 0.3, 1 and 3 times a usual one - followed further where the best lies at an end, twice at
most - by one trial on a seed of its own; then it runs five others. It is judged by the cross entropy of 2,000 held-out
pictures, or of 24 held-out texts, every 10 steps. A run ends there, or after so many gradients:
methods that ask for several in a step pay for them. Rates are constant; nothing else was tuned.
"""

import json
import math
import os
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tiny_gpt import BLOCK, TinyGPT
from shinso.core.seed import drawing_from
from shinso.data.examples import open_data
from shinso.optim.named import method, methods

EVERY, SEEDS, TUNED_ON = 10, range(5), 100
STORE = Path("records/c5_steps_to_loss/measured.json")
"""what was measured; a method that is there is not run again"""

COLD = {"schedule": (1e6, 0.5, 100), "preconditioner": (0.99, 1.0), "friction": 3.0}
"""Santa without the heat that its default has, which throws every rate out"""
USUAL: dict[str, tuple[float, dict]] = {
    "adadelta": (1.0, {}), "adagrad": (1e-2, {}), "adagrad_da": (1e-2, {"centred": True}), "adam": (1e-3, {}),
    "adamax": (2e-3, {}), "adamw": (1e-3, {}), "adasecant": (1.0, {}), "eve": (1e-3, {}), "ftrl": (1e-2, {}),
    "lbfgs": (1.0, {"max_iter": 10, "line_search_fn": "strong_wolfe"}), "lion": (3e-4, {}), "nadam": (1e-3, {}),
    "proximal_adagrad": (1e-2, {}), "proximal_gd": (0.1, {}), "rmsprop": (1e-3, {}), "rmsprop_graves": (1e-4, {}),
    "rprop": (1e-3, {}), "santa": (3e-2, COLD), "sgd": (0.1, {}), "sgd momentum": (0.03, {"momentum": 0.9}),
    "sgd nesterov": (0.03, {"momentum": 0.9, "nesterov": True}), "smorms3": (1e-3, {}), "muon": (1e-2, {}),
    "soap": (3e-3, {}), "schedule_free": (3e-3, {}), "gld": (0.1, {"beta": 1e8}), "sgld": (0.1, {"beta": 1e8}),
    "agd": (0.03, {}), "perturbed_gd": (0.1, {}), "perturbed_agd": (0.03, {}), "conjugate_gradient": (1.0, {}),
    "hessian_free": (1.0, {}), "kfac": (0.03, {}), "gd_by_gd": (1.0, {}), "proximal_point": (0.1, {}),
}
"""a usual rate, and options that are not the default"""
LEFT_OUT = {
    "newton": "a Hessian of n x n numbers", "bfgs": "an inverse Hessian of n x n numbers",
    "natural_gradient": "a Fisher matrix of n x n numbers", "coordinate_descent": "one coordinate a step",
    "mirror_descent": "weights of a net lie on no simplex", "frank_wolfe": "weights of a net have no bound to touch",
}

NOT_ON = {"Letters": {
    "kfac": "its model must give one row for an example",
    "hessian_free": "the attention kernel has no second derivative on the CPU",
}}  # fmt: skip
"""methods that one of the tasks cannot run"""


class Pictures:
    """784-128-64-10 on MNIST, batches of 100."""

    target, steps = 0.20, 600

    def __init__(self):
        data = open_data("mnist")
        flat = (data.train.inputs.flatten(1).float() / 255 - data.about.mean[0]) / data.about.std[0]
        self.x, self.y = flat[:-2000], data.train.targets[:-2000]
        self.held = flat[-2000:], data.train.targets[-2000:]

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))

    def batch(self, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(self.x), (100,), generator=draw)
        return self.x[rows], self.y[rows]


class Letters:
    """The tiny GPT on Shakespeare's letters, 12 texts of 64 a batch."""

    target, steps = 2.6, 300

    def __init__(self):
        text = (Path(os.environ["SHINSO_DATA"]) / "tinyshakespeare.txt").read_text(encoding="utf-8")
        self.letters = sorted(set(text))
        places = {letter: i for i, letter in enumerate(self.letters)}
        ids = torch.tensor([places[letter] for letter in text])
        self.ids, rest = ids[: int(0.9 * len(ids))], ids[int(0.9 * len(ids)) :]
        self.held = cut(rest, 24, torch.Generator().manual_seed(0))

    def model(self) -> nn.Module:
        return TinyGPT(len(self.letters))

    def batch(self, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        return cut(self.ids, 12, draw)


def cut(ids: Tensor, count: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    places = torch.randint(len(ids) - BLOCK, (count, 1), generator=draw) + torch.arange(BLOCK + 1)
    return ids[places][:, :-1], ids[places][:, 1:]


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]).flatten(0, -2), batch[1].flatten())


def descend(task: Pictures | Letters, name: str, rate: float, seed: int, most: int) -> dict:
    """{steps: or None, gradients, loss}: one run of at most `most` steps."""
    with drawing_from(seed, "weights"):
        model = task.model()
    kind, options = method(name.split()[0]), USUAL[name][1]
    more = {"model": model} if name == "kfac" else {}
    optimiser = kind(model.parameters(), **({} if name == "gd_by_gd" else {"lr": rate}), **options, **more)
    draw, gradients, last = torch.Generator().manual_seed(seed), 0, math.inf
    for step in range(1, most + 1):
        batch = task.batch(draw)

        def closure(batch=batch):
            nonlocal gradients
            gradients += 1
            optimiser.zero_grad()
            loss = loss_of(model, batch)
            if loss.requires_grad:  # a line search may ask for the loss alone
                loss.backward(create_graph=getattr(kind, "curvature", False))
            return loss

        optimiser.step(closure)
        if step % EVERY == 0 or gradients >= task.steps:
            last = judged(model, optimiser, task.held)
            if last <= task.target:
                return {"steps": step, "gradients": gradients, "loss": last}
            if not last < 20 or gradients >= task.steps:
                break
    return {"steps": None, "gradients": gradients, "loss": last if math.isfinite(last) else 99.0}


@torch.no_grad()
def judged(model: nn.Module, optimiser: torch.optim.Optimizer, held: tuple[Tensor, Tensor]) -> float:
    """Held-out loss; a method that keeps another point than the one it steps from is asked for it."""
    switch: Callable[[str], object] = lambda to: getattr(optimiser, to, lambda: None)()  # noqa: E731
    switch("eval")
    loss = loss_of(model, held).item()
    switch("train")
    return loss


def tuned(task: Pictures | Letters, name: str) -> tuple[float, dict[str, dict]]:
    """The best rate, and every trial."""
    usual, trials = USUAL[name][0], {}

    def order(factor: float) -> tuple[float, float]:
        found = trials[factor]
        return (found["steps"] or math.inf, found["loss"])

    factors = [1.0] if name == "gd_by_gd" else [1.0, 0.3, 3.0]
    while factors:
        factor = factors.pop(0)
        reached = [found["steps"] for found in trials.values() if found["steps"]]
        trials[factor] = descend(task, name, usual * factor, TUNED_ON, min(reached, default=task.steps))
        best = min(trials, key=order)
        ends = {min(trials): min(trials) / 3, max(trials): max(trials) * 3}
        if not factors and best in ends and 1 < len(trials) < 5:
            factors = [ends[best]]
    return usual * min(trials, key=order), {f"{usual * factor:.3g}": found for factor, found in trials.items()}


def report(rounds: int, seconds: float) -> list[str]:
    torch.set_num_threads(1)
    lines = []
    for task in (Pictures(), Letters()):
        for name in USUAL:
            measure(task, name)
        found = json.loads(STORE.read_text(encoding="utf-8"))[type(task).__name__]
        lines += [f"{task.__doc__} Loss {task.target}, at most {task.steps} gradients:", "",
                  "| method | rate | steps, median of 5 | each | gradients | last loss, median |", "|---|" + "--:|" * 5]
        lines += [row(name, found[name]) for name in sorted(found, key=lambda name: place(found[name]))]
        barred = NOT_ON.get(type(task).__name__, {})
        lines += ["", *(f"- {name} was not run: {why}" for name, why in barred.items()), ""]
    unknown = set(methods()) - {name.split()[0] for name in USUAL} - set(LEFT_OUT)
    return [*lines, *(f"- {name} was not run: {why}" for name, why in LEFT_OUT.items()),
            *(f"- {name} was not run: no usual rate stands in the program" for name in sorted(unknown)),
            "", "Every run and every trial of a rate stand in measured.json beside this page."]


def measure(task: Pictures | Letters, name: str) -> None:
    """Adds a method to the store, unless it is there or does not exist."""
    store = json.loads(STORE.read_text(encoding="utf-8")) if STORE.is_file() else {}
    title = type(task).__name__
    if name in store.get(title, {}) or name in NOT_ON.get(title, {}) or name.split()[0] not in methods():
        return
    rate, trials = tuned(task, name)
    runs = [descend(task, name, rate, seed, task.steps) for seed in SEEDS]
    store = json.loads(STORE.read_text(encoding="utf-8")) if STORE.is_file() else {}
    store.setdefault(type(task).__name__, {})[name] = {"rate": rate, "trials": trials, "runs": runs}
    STORE.parent.mkdir(parents=True, exist_ok=True)
    STORE.write_text(json.dumps(store, indent=1) + "\n", encoding="utf-8")
    print(row(name, store[type(task).__name__][name]), flush=True)


def place(found: dict) -> tuple[float, float]:
    """Median of the steps, then of the last losses."""
    return (statistics.median(run["steps"] or math.inf for run in found["runs"]),
            statistics.median(run["loss"] for run in found["runs"]))


def row(name: str, found: dict) -> str:
    steps, loss = place(found)
    each = " ".join(str(run["steps"] or "-") for run in found["runs"])
    gradients = statistics.median(run["gradients"] for run in found["runs"])
    return (f"| {name} | {found['rate']:.2g} | {steps if math.isfinite(steps) else 'not reached'} | {each} "
            f"| {gradients:.0f} | {loss:.3f} |")
