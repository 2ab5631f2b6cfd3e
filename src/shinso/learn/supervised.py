"""One step is a batch, an objective and an update.

The objective is a function of the system's own file; it returns named terms whose sum is the loss. Whatever else a
system wants - dropout, noise, an evidence bound - happens inside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.data.batches import Augment, Batches, sweep
from shinso.data.examples import Dataset

Batch = tuple[Tensor, Tensor]
Objective = Callable[[nn.Module, Batch, torch.Generator], Mapping[str, Tensor]]
"""(model, batch, noise) -> named scalar terms; their sum is minimised"""
Measure = Callable[[nn.Module, Batch, torch.Generator], Mapping[str, Tensor]]
"""(model, batch, noise) -> named values per example (n,); a split's figure is their mean. One of them is `loss`"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast: what supervised training needs beside a model, its data and its objective."""

    epochs: int
    batch_size: int
    seed: int
    schedule: Callable[[float], float] | None = None
    """factor on every learning rate as a function of progress 0..1"""
    clip: float | None = None
    """largest gradient norm"""
    augment: Augment | None = None


@final
class Supervised:
    """A model, an optimiser, and batches in a resumable order."""

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, objective: Objective, measure: Measure,
                 data: Dataset, plan: Plan, place: Place):
        self.model, self.optimiser, self.objective, self.measure = model, optimiser, objective, measure
        self.data, self.plan, self.place = data, plan, place
        self.batches = Batches(data.train, data.about, plan.batch_size, seed=plan.seed, device=place.device,
                               augment=plan.augment)
        self.rng = generator(plan.seed, "objective", place.device)
        self.rhythm = max(1, self.batches.per_epoch)
        self.total = plan.epochs * self.batches.per_epoch
        self.rates = [group["lr"] for group in optimiser.param_groups]

    def step(self, i: int) -> Record:
        if self.plan.schedule is not None:
            factor = self.plan.schedule(i / self.total)
            for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        batch = self.batches.next()
        self.optimiser.zero_grad(set_to_none=True)
        with self._precision():
            terms = self.objective(self.model, batch, self.rng)
            loss = torch.stack([*terms.values()]).sum() if len(terms) > 1 else next(iter(terms.values()))
        loss.backward()
        if self.plan.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)
        self.optimiser.step()
        record = {name: term.detach() for name, term in terms.items()}
        return {"loss": loss.detach(), **record}

    @torch.no_grad()
    def evaluate(self, split: str) -> Record:
        """Means over `validation` or `test`; the model is in evaluation mode and the noise is the same every time."""
        self.model.eval()
        noise = generator(self.plan.seed, f"evaluate/{split}", self.place.device)
        sums: dict[str, Tensor] = {}
        examples = getattr(self.data, split)
        for batch in sweep(examples, self.data.about, 500, self.place.device):
            with self._precision():
                for name, values in self.measure(self.model, batch, noise).items():
                    sums[name] = sums.get(name, 0) + values.double().sum()
        self.model.train()
        return {name: total / max(1, len(examples)) for name, total in sums.items()}

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
                "batches": self.batches.state(), "rng": self.rng.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.batches.restore(state["batches"])
        self.rng.set_state(state["rng"])

    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model}

    def example(self) -> dict[str, Tensor]:
        return {"model": torch.zeros(2, *self.data.about.shape, device=self.place.device)}

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.place.device.split(":")[0], torch.bfloat16, enabled=self.place.precision == "bf16")
