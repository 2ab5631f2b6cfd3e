"""One step is k updates of one side, then one of the other: two networks, two optimisers, two objectives.

A side sees both networks but moves only its own: while it is updated the other is frozen, so an objective cannot
reach the opponent's weights, and no gradient is computed that nobody uses.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Generator, Tensor, nn

from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator, put_back
from shinso.data.batches import Batches
from shinso.learn.blame import first_bad_layer
from shinso.learn.supervised import Batch

Objective = Callable[[nn.Module, nn.Module, Batch, Generator], Tensor]
"""(generator, discriminator, real batch, noise) -> the scalar that one side minimises"""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two players."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    objective: Objective


@final
class Adversarial:
    """`updates` steps of the discriminator on a batch each, then one of the generator; `epochs` passes over the data.

    `loss` in the record is the generator's: the two are not to be added, and neither falls when all goes well.
    """

    def __init__(self, generator_side: Side, discriminator_side: Side, batches: Batches, *, epochs: int, updates: int,
                 seed: int, place: Place):
        self.generator, self.discriminator = generator_side, discriminator_side
        self.batches, self.updates, self.place = batches, updates, place
        self.noise = generator(seed, "objective", place.device)
        self.total = math.ceil(epochs * batches.per_epoch / updates)
        self.rhythm = max(1, math.ceil(batches.per_epoch / updates))
        self.last: Batch | None = None

    def step(self, i: int) -> Record:
        batch = self.batches.next()
        loss_discriminator = self._update(self.discriminator, self.generator.network, batch)
        for _ in range(self.updates - 1):
            batch = self.batches.next()
            loss_discriminator = self._update(self.discriminator, self.generator.network, batch)
        loss = self._update(self.generator, self.discriminator.network, batch)
        self.last = batch
        return {"loss": loss, "loss_generator": loss, "loss_discriminator": loss_discriminator}

    def state(self) -> dict[str, Any]:
        return {
            "generator": self.generator.network.state_dict(),
            "discriminator": self.discriminator.network.state_dict(),
            "optimiser_generator": self.generator.optimiser.state_dict(),
            "optimiser_discriminator": self.discriminator.optimiser.state_dict(),
            "batches": self.batches.state(),
            "noise": self.noise.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.generator.network.load_state_dict(state["generator"])
        self.discriminator.network.load_state_dict(state["discriminator"])
        self.generator.optimiser.load_state_dict(state["optimiser_generator"])
        self.discriminator.optimiser.load_state_dict(state["optimiser_discriminator"])
        self.batches.restore(state["batches"])
        put_back(self.noise, state["noise"])

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator.network, "discriminator": self.discriminator.network}

    def blame(self) -> str:
        """Where the last step left the finite numbers: the discriminator on real examples, or a generator's weight."""
        if self.last is None:
            return "nothing was computed yet"
        for name, weight in self.generator.network.named_parameters():
            if not weight.isfinite().all():
                return f"generator.{name}"
        return f"discriminator: {first_bad_layer(self.discriminator.network, self.last[0])}"

    def _update(self, mine: Side, other: nn.Module, batch: Batch) -> Tensor:
        mine.optimiser.zero_grad()
        kind = self.place.device.split(":")[0]
        with frozen(other):
            with torch.autocast(kind, torch.bfloat16, enabled=self.place.precision == "bf16"):
                loss = mine.objective(self.generator.network, self.discriminator.network, batch, self.noise)
            loss.backward()
        mine.optimiser.step()
        return loss.detach()


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No weight of `network` gets a gradient inside; those that took none before take none after."""
    moving = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in moving:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in moving:
            weight.requires_grad_(True)
