"""One step is a batch, an objective and an update.

What is learned stands in a Task: an objective that returns named terms whose sum is the loss - dropout, noise, an
evidence bound happen inside it - and a measure that judges one example at a time.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import torch
from torch import Generator, Tensor, nn

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import derive, generator, put_back
from shinso.data.batches import Augment, Batches, sweep
from shinso.data.examples import Dataset, Description
from shinso.data.mixup import Mixup
from shinso.engine.team import whole_gradient
from shinso.inside.layer_table import as_json, layers
from shinso.learn.blame import first_bad_layer
from shinso.optim.clipping import clip_by_norm
from shinso.optim.ema import EMA
from shinso.optim.flat import AbstractFlat

Batch = tuple[Tensor, Tensor]
"""inputs float32 (n, ...) normalised, targets int64 (n,)"""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model is asked to do, as functions of the system's own file."""

    objective: Callable[[nn.Module, Batch, Generator], Mapping[str, Tensor]]
    """named scalar terms; their sum is minimised"""
    measure: Callable[[nn.Module, Batch, Generator], Mapping[str, Tensor]]
    """named values per example (n,); a split's figure is their mean; one of them is `loss`"""
    gradient: Callable[[nn.Module, Batch, Generator], Mapping[str, Tensor]] | None = None
    """what `objective` gives, detached, its gradients left in `.grad`: for a system that knows them without a tape"""
    pictures: Callable[[nn.Module, Dataset], dict[str, np.ndarray]] | None = None
    """what the report shows: uint8 (height, width, 3) by name"""
    files: Callable[[nn.Module, Dataset], dict[str, bytes]] | None = None
    """what is left beside the report for other programs, by file name"""
    predict: Callable[[nn.Module, Description, Sequence[Path]], list[tuple[str, float]]] | None = None
    """(label, probability) for each of a user's files"""
    rank: Callable[[nn.Module, Description, Sequence[Path], int], list[list[tuple[str, float]]]] | None = None
    """that many of them for each file, the likeliest first"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast."""

    epochs: int
    batch_size: int
    seed: int
    schedule: Callable[[float], float] | None = None
    """factor on every learning rate as a function of progress 0..1"""
    clip: float | None = None
    """largest gradient norm"""
    ema: float | None = None
    """decay of averaged weights (0 to 1), which are then what is evaluated, drawn, asked and exported"""
    accumulate: int = 1
    """parts of a batch that are computed one after the other, their gradients added up: less memory"""
    closure: bool = False
    """hand the optimiser a closure, for methods that ask for loss and gradient themselves, perhaps more than once"""
    augment: Augment | None = None
    mix: Mixup | None = None
    """mixtures of two examples; the objective then gets shares of the classes as targets, float32 (n, classes)"""


@final
class Supervised:
    """A model, its optimiser, and batches in a resumable order."""

    watched = ("loss",)
    shares = True
    """whether several processes may train it together, each on its part of every batch"""

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, task: Task, data: Dataset, plan: Plan,
                 place: Place):
        if isinstance(optimiser, AbstractFlat) and not any(group.get("fused") for group in optimiser.param_groups):
            optimiser.flatten()  # a step over many tensors is one over memory; torch's fused call needs none of it
        self.model, self.optimiser, self.task = model, optimiser, task
        self.forward = cast(nn.Module, torch.compile(model)) if place.compile else model
        self.precision = partial(torch.autocast, place.device.split(":")[0], torch.bfloat16)
        if place.precision == "fp32":
            self.precision = nullcontext
        self.data, self.plan, self.place = data, plan, place
        self.batches = Batches(data.train, data.about, plan.batch_size, seed=plan.seed, device=place.device,
                               augment=plan.augment, mix=plan.mix, part=(place.rank, place.processes))
        self.noise = generator(plan.seed, "objective", place.device)
        self.rhythm = max(1, self.batches.per_epoch)
        self.total = plan.epochs * self.batches.per_epoch
        self.rates = [group["lr"] for group in optimiser.param_groups]
        if plan.ema is not None and not 0 <= plan.ema < 1:
            raise UserError("ema", f"{plan.ema:g} is not from 0 to below 1", "give for example 0.99")
        self.ema = EMA(model, plan.ema) if plan.ema is not None else None
        self.shown = self.ema.model if self.ema is not None else model
        self.last: Batch | None = None
        self.unharmed = False
        """whether a step that raised a UserError left all state as it was, so that it may be saved"""

    def step(self, i: int) -> Record:
        if self.plan.schedule is not None:
            factor = self.plan.schedule(i / self.total)
            for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        self.last = batch = self._next()
        if self.place.processes > 1:  # each draws for its own examples, and no state of the others need be saved
            self.noise.manual_seed(derive(self.plan.seed, f"objective/{i}/{self.place.rank}"))
        if self.plan.closure:
            return self._asked(batch)
        terms = self._gradient(batch)
        loss = self._loss(terms)
        # On the CPU a loss that is not finite is seen before it reaches the weights, so that the layer can be named.
        if self.place.device != "cpu" or math.isfinite(loss.item()):
            self.optimiser.step()
            if self.ema is not None:
                self.ema.update()
        return {**terms, "loss": loss}

    def _next(self) -> Batch:
        """The next batch; where a file of it can no longer be read, everything stays as it was before the step."""
        place = self.batches.state()
        try:
            return self.batches.next()
        except UserError:
            self.batches.restore(place)
            self.unharmed = True
            raise

    def _asked(self, batch: Batch) -> Record:
        """A step in which the optimiser asks for loss and gradient itself; every time the noise is the same."""
        noise, answers = self.noise.get_state(), []

        def closure() -> Tensor:
            self.noise.set_state(noise)
            terms = self._gradient(batch)
            answers.append({**terms, "loss": self._loss(terms)})
            if len(answers) == 1 and self.place.device == "cpu" and not math.isfinite(answers[0]["loss"].item()):
                raise FloatingPointError  # before it reaches the weights, as above
            return answers[-1]["loss"]

        with suppress(FloatingPointError):
            cast(Any, self.optimiser).step(closure)  # a tensor will do where torch says a float
            if self.ema is not None:
                self.ema.update()
        return answers[0]

    def _loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The sum of the terms; their gradients are clipped."""
        loss, *others = terms.values()
        for term in others:
            loss = loss + term
        if self.plan.clip is not None:
            clip_by_norm(self.model.parameters(), self.plan.clip)
        return loss

    def _gradient(self, batch: Batch) -> Mapping[str, Tensor]:
        """The objective's terms, detached; their gradients are in place, of the batches of all processes."""
        terms = self._own_gradient(batch)
        if self.place.processes == 1:
            return terms
        weights = (w for group in self.optimiser.param_groups for w in group["params"])
        return whole_gradient(weights, terms, self.batches.share)

    def _own_gradient(self, batch: Batch) -> Mapping[str, Tensor]:
        """The same of this process's batch."""
        if self.task.gradient is not None and self.place.precision == "fp32" and not self.place.compile:
            return self.task.gradient(self.model, batch, self.noise)
        self.optimiser.zero_grad()
        inputs, targets = batch
        sums: dict[str, Tensor] = {}
        for x, y in zip(*(t.tensor_split(self.plan.accumulate) for t in (inputs, targets)), strict=True):
            if not len(y):
                continue
            with self.precision():
                terms = self.task.objective(self.forward, (x, y), self.noise)
            shares = terms if len(y) == len(targets) else {n: t * (len(y) / len(targets)) for n, t in terms.items()}
            loss, *others = shares.values()
            for term in others:
                loss = loss + term
            loss.backward()
            sums = {name: sums[name] + term.detach() if sums else term.detach() for name, term in shares.items()}
        return sums

    @torch.no_grad()
    def evaluate(self, split: str) -> Record:
        """Means over `validation` or `test`, in evaluation mode, with the same noise every time."""
        noise = generator(self.plan.seed, f"evaluate/{split}", self.place.device)
        examples = getattr(self.data, split)
        sums: dict[str, float] = {}
        self.shown.eval()
        with self._settled():
            for batch in sweep(examples, self.data.about, 500, self.place.device):
                with self.precision():
                    values = self.task.measure(self.shown, batch, noise)
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + float(value.cpu().double().sum())  # Metal has no float64
        self.shown.train()
        return {name: total / max(1, len(examples)) for name, total in sums.items()}

    @contextmanager
    def _settled(self) -> Iterator[None]:
        """Inside, the weights are where a method that trains them elsewhere wants them judged: its eval(), train()."""
        if self.ema is not None or not hasattr(self.optimiser, "eval"):
            yield
            return
        cast(Any, self.optimiser).eval()
        try:
            yield
        finally:
            cast(Any, self.optimiser).train()

    def state(self) -> dict[str, Any]:
        averages = {} if self.ema is None else {"ema": self.ema.state_dict()}
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "batches": self.batches.state(),
            "noise": self.noise.get_state(),
            **averages,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.batches.restore(state["batches"])
        put_back(self.noise, state["noise"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])

    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.shown}

    def example(self) -> dict[str, Tensor]:
        return {"model": torch.zeros(2, *self.data.about.shape, device=self.place.device)}

    def blame(self) -> str:
        """Where the last batch left the finite numbers."""
        return first_bad_layer(self.model, self.last[0]) if self.last is not None else "nothing was computed yet"

    def pictures(self) -> dict[str, np.ndarray]:
        with self._settled():
            return self.task.pictures(self.shown, self.data) if self.task.pictures else {}

    def files(self) -> dict[str, bytes]:
        """`layers.json`, every layer of the network with its shape, cost and receptive field; what the task adds."""
        example = self.example()["model"][:1]
        with self._settled():
            rows = layers(self.shown, example, containers=True)
            others = self.task.files(self.shown, self.data) if self.task.files else {}
        return {"layers.json": (as_json(rows, example.shape[1:]) + "\n").encode(), **others}

    def predict(self, files: Sequence[Path]) -> list[tuple[str, float]]:
        if self.task.predict is None:
            raise UserError("predict", "this system does not answer for files", "use the run of a classifier")
        with self._settled():
            return self.task.predict(self.shown, self.data.about, files)

    def rank(self, files: Sequence[Path], count: int) -> list[list[tuple[str, float]]]:
        if self.task.rank is None:
            raise UserError("predict", "this system has one answer for a file", "leave --top out")
        with self._settled():
            return self.task.rank(self.shown, self.data.about, files, count)
