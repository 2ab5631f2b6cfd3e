"""Training in NumPy alone: a network of layers by hand, its gradients, and an update rule by hand.

One step draws a batch, asks for the loss and the gradients - from the layers' own backward, or from whatever else
computes them from the same parameters - and lets the rule change the parameters in place.
"""

from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor, nn

from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.core.record import Record
from shinso.data.batches import Batches, sweep
from shinso.data.examples import Dataset
from shinso.learn import classify
from shinso.learn.supervised import Plan

AT_ONCE = 500
"""examples that are judged at once"""


class Network(Protocol):
    """What is trained: scores (batch, classes) of inputs, parameters and their gradients by name."""

    params: Any
    grads: Any

    def forward(self, x: np.ndarray, /) -> np.ndarray: ...

    def backward(self, grad: np.ndarray, /) -> Any: ...


class Rule(Protocol):
    """An update rule by hand: changes the parameters in place; it remembers numbers, and dicts of arrays."""

    lr: float

    def update(self, params: Any, grads: Any, /) -> None: ...


Gradient = Callable[[Network, np.ndarray, np.ndarray], tuple[float, MutableMapping[str, np.ndarray]]]
"""(network, inputs, classes) -> mean cross entropy, and the gradient of every parameter"""


def by_layers(network: Network, inputs: np.ndarray, classes: np.ndarray) -> tuple[float, MutableMapping]:
    """Forward through the layers, cross entropy, and back again."""
    criterion = CrossEntropy()
    loss = criterion.forward(network.forward(inputs), classes)
    network.backward(criterion.backward())
    return loss, network.grads


@final
class ByHand:
    """A classifier of layers by hand, its rule, and batches in a resumable order."""

    watched = ("loss",)

    def __init__(self, network: Network, rule: Rule, data: Dataset, plan: Plan, gradient: Gradient = by_layers):
        self.network, self.rule, self.data, self.plan, self.gradient = network, rule, data, plan, gradient
        self.batches = Batches(data.train, data.about, plan.batch_size, seed=plan.seed, augment=plan.augment)
        self.rhythm = max(1, self.batches.per_epoch)
        self.total = plan.epochs * self.batches.per_epoch
        self.rate = rule.lr
        self.kind = next(iter(network.params.values())).dtype
        self.module = _Module(network)

    def step(self, i: int) -> Record:
        if self.plan.schedule is not None:
            self.rule.lr = self.rate * self.plan.schedule(i / self.total)
        loss, grads = self.gradient(self.network, *self._arrays(self.batches.next()))
        if np.isfinite(loss):
            self.rule.update(self.network.params, grads)
        return {"loss": loss}

    def evaluate(self, split: str) -> Record:
        """Mean cross entropy and accuracy over `validation` or `test`."""
        examples, sums = getattr(self.data, split), np.zeros(2)
        for batch in sweep(examples, self.data.about, AT_ONCE):
            inputs, classes = self._arrays(batch)
            scores = self.network.forward(inputs)
            sums += len(scores) * CrossEntropy().forward(scores, classes), (scores.argmax(1) == classes).sum()
        loss, accuracy = (sums / max(1, len(examples))).tolist()
        return {"loss": loss, "accuracy": accuracy} if len(examples) else {}

    def state(self) -> dict[str, Any]:
        return {"params": dict(self.network.params), "rule": self._memory(), "batches": self.batches.state()}

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in state["params"].items():
            self.network.params[name][...] = value
        for name, value in state["rule"].items():
            if isinstance(value, dict):
                own = getattr(self.rule, name)
                own.clear()
                own.update({key: np.array(array) for key, array in value.items()})
            else:
                setattr(self.rule, name, value)
        self.batches.restore(state["batches"])

    def networks(self) -> dict[str, nn.Module]:
        """The network in torch's clothes: its parameters are the layers' own memory."""
        return {"model": self.module}

    def example(self) -> dict[str, Tensor]:
        """None: what NumPy computes cannot be exported."""
        return {}

    def pictures(self) -> dict[str, np.ndarray]:
        return classify.pictures(self.module, self.data)

    def predict(self, files: Sequence[Path]) -> list[tuple[str, float]]:
        return classify.predict(self.module, self.data.about, files)

    def rank(self, files: Sequence[Path], count: int) -> list[list[tuple[str, float]]]:
        return classify.rank(self.module, self.data.about, files, count)

    def _memory(self) -> dict[str, Any]:
        """What the rule remembers: its numbers, and its arrays by the parameters' names."""
        kept = {name: value for name, value in vars(self.rule).items() if isinstance(value, (int, float, dict))}
        return {name: dict(value) if isinstance(value, dict) else value for name, value in kept.items()}

    def _arrays(self, batch: tuple[Tensor, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        return batch[0].numpy().astype(self.kind, copy=False), batch[1].numpy()


@final
class _Module(nn.Module):
    """A network by hand for those who ask a torch module for scores: pictures and predictions."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network
        for name, array in network.params.items():
            parameter = nn.Parameter(torch.from_numpy(array), requires_grad=False)
            self.register_parameter(name.replace(".", "_"), parameter)

    def forward(self, x: Tensor) -> Tensor:
        kind = next(self.parameters()).dtype
        return torch.from_numpy(np.ascontiguousarray(self.network.forward(x.to(kind).numpy())))

