"""Who races: methods and their options from a line of text, and one method on its way down."""

import ast
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.basics._race_problems import Problem
from shinso.core.errors import UserError
from shinso.core.setup import nearest
from shinso.optim.named import method, methods

ALSO: dict[str, tuple[str, dict[str, Any]]] = {
    "gd": ("sgd", {}), "momentum": ("sgd", {"momentum": 0.9}), "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
}  # fmt: skip
"""other names of methods that are another one's options"""
RATES = tuple(float(f"{m}e{k}") for k in range(-5, 1) for m in ("1", "1.5", "2", "3", "5", "7"))
"""among which a rate is chosen"""
HELD = 5
"""who is within the tolerance for so many steps in a row has arrived with the first of them"""
FAR = 1e3
"""a method that is so many times further from the start than 1 is thrown out"""


@dataclass(frozen=True)
class Entry:
    """A method with its options, and what it is called in this race."""

    label: str
    kind: type[torch.optim.Optimizer]
    options: Mapping[str, Any]
    """what was asked for; may lack the rate"""

    @property
    def tunable(self) -> bool:
        """Whether its rate is open."""
        return "lr" not in self.options and "lr" in inspect.signature(self.kind).parameters

    @property
    def usual(self) -> float:
        """The rate that it has by default; nan where it has none."""
        given = inspect.signature(self.kind).parameters.get("lr")
        told = self.options.get("lr", given.default if given else math.nan)
        return float(told) if isinstance(told, (int, float, Tensor)) else math.nan


def entries(text: str) -> list[Entry]:
    """`sgd(lr=0.1, momentum=0.9), adam` as entries, in order; nothing in the text is run."""
    found: list[Entry] = []
    for part in _parts(text):
        name, options = _read(part)
        known, more = ALSO.get(name, (name, {}))
        if known == name and name not in ALSO and not name.isidentifier():
            raise UserError("optimisers", f"{part!r} is not a method", "write for example adam or sgd(lr=0.1)")
        label = part.replace(" ", "")
        while any(label == one.label for one in found):
            label += "'"
        found.append(Entry(label, method(known), {**more, **options}))
    if not found:
        raise UserError("optimisers", "there is no method", "name some, for example sgd,momentum,adam, or all")
    return found


def every() -> list[Entry]:
    """All methods that there are, with their own options, and the course's names for those of SGD."""
    found = [Entry(name, method(known), options) for name, (known, options) in ALSO.items() if name != "gd"]
    for name, kind in methods().items():
        centred = "centred" in inspect.signature(kind).parameters  # else it would begin at 0, not at the start
        found.append(Entry(name, kind, {"centred": True} if centred else {}))
    return sorted(found, key=lambda one: one.label)


def _parts(text: str) -> list[str]:
    """What stands between commas that are in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _read(part: str) -> tuple[str, dict[str, Any]]:
    """A name and its options as plain values; one sentence for whatever else was typed."""
    cure = "write for example sgd(lr=0.1, momentum=0.9)"
    shape = re.fullmatch(r"([A-Za-z][\w-]*)\s*(?:\((.*)\))?", part, re.DOTALL)
    if shape is None:
        raise UserError("optimisers", f"{part!r} is no method with options", cure)
    name, inside = shape[1].lower().replace("-", "_"), shape[2] or ""
    try:
        call = ast.parse(f"f({inside})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise UserError("optimisers", f"{part!r} has options without a name", cure)
        return name, {str(k.arg): ast.literal_eval(k.value) for k in call.keywords if _named(k, part)}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise UserError("optimisers", f"the options of {part!r} are no plain values", cure) from None


def _named(keyword: ast.keyword, part: str) -> bool:
    if keyword.arg is None:
        raise UserError("optimisers", f"{part!r} has options without a name", "write NAME=VALUE")
    return True


@final
class Runner:
    """One method on one problem: its place, its optimiser, its path, and when it arrived or was thrown out."""

    def __init__(self, entry: Entry, problem: Problem, start: Tensor, tolerance: float, rate: float | None):
        self.entry, self.problem, self.tolerance = entry, problem, tolerance
        self.far = FAR * (1 + float(start.norm()))
        self.weights = [w.requires_grad_() for w in problem.apart(start)]
        options = {**entry.options} if rate is None else {**entry.options, "lr": rate}
        self.rate = entry.usual if rate is None else rate
        self.optimiser = _made(entry, self.weights, options)
        self.curved = bool(getattr(entry.kind, "curvature", False))
        self.path, self.heights, self.counts = [start.numpy().copy()], [float(problem.height(start))], [0]
        self.arrived, self.thrown = -1, -1
        """the step, or -1"""

    def step(self, batch: Tensor | None) -> None:
        """One step of the method; one that was thrown out stands where it was last seen."""
        place, height, asked = self.path[-1], self.heights[-1], 0
        if self.thrown < 0:
            ahead, reached, asked = self._moved(batch)
            if np.isfinite(ahead).all() and math.isfinite(reached) and np.linalg.norm(ahead) <= self.far:
                place, height = ahead, reached
            else:
                self.thrown = len(self.path)
        self.path.append(place)
        self.heights.append(height)
        self.counts.append(self.counts[-1] + asked)
        if self.arrived < 0 and len(self.path) > HELD:
            if max(self.heights[-HELD:]) - self.problem.lowest <= self.tolerance:
                self.arrived = len(self.path) - HELD

    def _moved(self, batch: Tensor | None) -> tuple[np.ndarray, float, int]:
        asked = 0

        def closure() -> Tensor:
            nonlocal asked
            asked += 1
            return self._slopes(batch)

        try:
            self.optimiser.step(closure)  # pyright: ignore - torch says float where it takes a tensor
        except torch.linalg.LinAlgError:  # pyright: ignore - a matrix is no longer finite
            return np.full_like(self.path[0], np.nan), math.nan, asked
        if hasattr(self.optimiser, "eval"):  # a method that answers for another place than it asks at
            self.optimiser.eval()  # pyright: ignore - as Schedule-Free has it
        place = self.problem.together([w.detach() for w in self.weights]).clone()
        if hasattr(self.optimiser, "train"):
            self.optimiser.train()  # pyright: ignore
        return place.numpy(), float(self.problem.height(place)), asked

    @torch.enable_grad()
    def _slopes(self, batch: Tensor | None) -> Tensor:
        """Leaves the gradient in the weights; with the graph that curvature needs where the method wants it."""
        problem = self.problem
        flat = problem.together(self.weights)
        loss = problem.height(flat) if batch is None or problem.on is None else problem.on(flat, batch)
        slopes = torch.autograd.grad(loss, self.weights, create_graph=self.curved)
        for w, slope in zip(self.weights, slopes, strict=True):
            w.grad = slope
        return loss

    def state(self) -> dict[str, Any]:
        return {"weights": [w.detach().clone() for w in self.weights], "optimiser": self.optimiser.state_dict(),
                "rate": self.rate, "path": np.array(self.path), "heights": list(self.heights),
                "counts": list(self.counts), "arrived": self.arrived, "thrown": self.thrown}

    def restore(self, state: Mapping[str, Any]) -> None:
        with torch.no_grad():
            for w, value in zip(self.weights, state["weights"], strict=True):
                w.copy_(value)
        self.optimiser.load_state_dict(dict(state["optimiser"]))
        self.rate = float(state["rate"])
        self.path, self.heights = list(np.array(state["path"])), list(state["heights"])
        self.counts = list(state["counts"])
        self.arrived, self.thrown = int(state["arrived"]), int(state["thrown"])


def _made(entry: Entry, weights: list[Tensor], options: Mapping[str, Any]) -> torch.optim.Optimizer:
    try:
        return entry.kind(weights, **options)  # pyright: ignore[reportArgumentType]
    except TypeError as error:
        taken = [name for name in inspect.signature(entry.kind).parameters if name != "params"]
        wrong = [name for name in options if name not in taken]
        if wrong:
            raise UserError("optimisers", f"{entry.label} has no option {wrong[0]!r}",
                            nearest(wrong[0], taken)) from None
        raise UserError("optimisers", f"{entry.label}: {error}", "give its options other values") from None
    except (ValueError, NotImplementedError, RuntimeError) as error:
        raise UserError("optimisers", f"{entry.label}: {error}", "give its options other values") from None


def able(entry: Entry, problem: Problem) -> str:
    """Why a method cannot race on a problem, empty where it can: two steps are tried."""
    batch = torch.arange(problem.examples) if problem.examples else None
    try:
        runner = Runner(entry, problem, problem.start, 0.0, None)
        runner.step(batch)
        runner.step(batch)
    except UserError as error:
        return error.what
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError) as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return ""


def tuned(entry: Entry, problem: Problem, start: Tensor, tolerance: float,
          batches: Callable[[int], Tensor | None], steps: int) -> float | None:
    """The rate with which a method arrives soonest, or is lowest after `steps`; None where it has none to choose.

    A trial that can no longer be the best is given up.
    """
    if not entry.tunable:
        return None
    scores: dict[float, tuple[float, float]] = {}

    def tried(rate: float) -> tuple[float, float]:
        if rate not in scores:
            soonest = min((score[0] for score in scores.values()), default=math.inf)
            enough = int(min(steps, soonest + HELD - 1))
            scores[rate] = _score(Runner(entry, problem, start, tolerance, rate), batches, enough)
        return scores[rate]

    tried(entry.usual)  # the method's own first: it often arrives, and shortens all the other trials
    for rate in RATES[::-3]:
        tried(rate)
    while True:  # then the neighbours of the best one, as long as that helps
        best = min(scores, key=tried)
        near = sorted(RATES, key=lambda rate: abs(math.log(rate / best)))[:3]
        if min(map(tried, near)) >= tried(best):
            return best


def _score(runner: Runner, batches: Callable[[int], Tensor | None], steps: int) -> tuple[float, float]:
    """(steps until the goal, mean height of the last quarter); infinite for a rate that leaves the picture."""
    for i in range(steps):
        runner.step(batches(i))
        if runner.thrown >= 0 or _outside(runner):
            return math.inf, math.inf
        if runner.arrived >= 0:
            break
    arrived = float(runner.arrived) if runner.arrived >= 0 else math.inf
    return arrived, float(np.mean(runner.heights[-max(1, len(runner.heights) // 4) :]))


def _outside(runner: Runner) -> bool:
    if runner.problem.window is None:
        return False
    left, right, bottom, top = runner.problem.window
    x, y = runner.path[-1]
    return len(runner.path) > 1 and not (left < x < right and bottom < y < top)
