"""Batches as a state machine: (epoch, position, seed) says which examples come next, so a run resumes mid-epoch.

The order of an epoch is a permutation drawn from (seed, epoch) alone; augmentation draws from (seed, epoch, index).
"""

from collections.abc import Callable, Iterator
from typing import Any, final

import torch
from torch import Tensor

from shinso.core.seed import generator
from shinso.data.examples import Description, Examples, Split, to_float
from shinso.kernels.gather import normalised_rows

Augment = Callable[[Tensor, Tensor, int], Tensor]
"""(inputs of a batch, their indices, epoch) -> inputs of the same shape and type"""


@final
class Batches:
    """An endless stream of (inputs float32 on `device`, targets) from one split, resident or on disk."""

    ahead = 3
    """batches that a split on disk prepares in advance; reading ahead is no part of the state"""

    def __init__(self, examples: Split, about: Description, batch_size: int, *, seed: int, device: str = "cpu",
                 augment: Augment | None = None):
        self.about, self.batch_size, self.seed, self.augment = about, batch_size, seed, augment
        self.split = examples.to(device)
        self.targets = self.split.targets
        self.mean, self.std = torch.tensor(about.mean, device=device), torch.tensor(about.std, device=device)
        self.per_epoch = -(-len(examples) // batch_size)
        self.epoch = self.position = 0
        self.order = self._order()

    def next(self) -> tuple[Tensor, Tensor]:
        """The next batch; the last one of an epoch may be shorter."""
        if self.position == len(self.targets):
            self.epoch, self.position = self.epoch + 1, 0
            self.order = self._order()
        index = self.order[self.position : self.position + self.batch_size]
        self.position += len(index)
        inputs = self._inputs(index)
        self.split.expect(self.order[self.position : self.position + self.ahead * self.batch_size])
        return inputs, self.targets.index_select(0, index)

    def _inputs(self, index: Tensor) -> Tensor:
        if self.augment is None and isinstance(self.split, Examples) and self.split.inputs.dtype == torch.uint8:
            return normalised_rows(self.split.inputs, index, self.mean, self.std)
        inputs = self.split.pick(index)
        if self.augment is not None:
            inputs = self.augment(inputs, index, self.epoch)
        return to_float(inputs, self.about)

    def state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "position": self.position, "seed": self.seed}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.position, self.seed = state["epoch"], state["position"], state["seed"]
        self.order = self._order()

    def _order(self) -> Tensor:
        draw = generator(self.seed, f"order/{self.epoch}")
        return torch.randperm(len(self.targets), generator=draw).to(self.targets.device)


def sweep(examples: Split, about: Description, batch_size: int, device: str = "cpu") -> Iterator[tuple[Tensor, Tensor]]:
    """Every example once, in order: for evaluation."""
    every = torch.arange(len(examples))
    for start in range(0, len(examples), batch_size):
        inputs = examples.pick(every[start : start + batch_size])
        examples.expect(every[start + batch_size : start + 2 * batch_size])
        yield to_float(inputs.to(device), about), examples.targets[start : start + batch_size].to(device)
