r"""Local SGD: workers train by themselves, a master averages (McDonald, Hall, Mann 2010; McMahan et al. 2017).

    w_k <- w_k - lr g_k(w_k), H times on each of K workers, with batches of its own                     (1)
    w = 1/K sum_k w_k,   and every w_k starts from w again                                              (2)

With H = 1 a round is one step of SGD on the batches of all workers together, because the mean of the gradients of equal
batches is the gradient of their mean; with K = 1 it is SGD (3). Between, a round costs one message in place of H. What
(2) takes away is noise: K workers whose ends differ by independent noise of variance v leave v / K (4). The surprise is
in the start: nets that start from weights of their own learn the same task with units in another order, and their
average is no net at all. Distribute first.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.axes import BLUE, GREEN, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.digits import originals

Weights = list[Tensor]
"""of a net of one hidden layer for each worker: (K, 64, h), (K, 1, h), (K, h, 10), (K, 1, 10)"""


def losses(weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """Cross entropy of every worker on its own x (K, n, 64) and y (K, n): (K,)."""
    W, b, V, c = weights
    answers = torch.tanh(x @ W + b) @ V + c
    return F.cross_entropy(answers.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(1)


def descend(weights: Weights, x: Tensor, y: Tensor, lr: float) -> tuple[Weights, Tensor]:
    """(1) once for all workers: a worker's loss depends on its own weights alone. New weights and the losses (K,)."""
    leaves = [w.detach().requires_grad_() for w in weights]
    found = losses(leaves, x, y)
    gradients = torch.autograd.grad(found.sum(), leaves)
    return [(w - lr * g).detach() for w, g in zip(leaves, gradients, strict=True)], found.detach()


def averaged(weights: Weights) -> Weights:
    """(2): every worker gets the mean of all."""
    return [w.mean(0, keepdim=True).expand_as(w).clone() for w in weights]


@cache
def _digits(split: str) -> tuple[Tensor, Tensor]:
    images, labels = originals()
    order = torch.randperm(len(labels), generator=generator(0, "split"))
    part = {"train": order[:1200], "validation": order[1200:1500], "test": order[1500:]}[split]
    return torch.from_numpy(images.reshape(-1, 64) / 16.0)[part], torch.from_numpy(labels)[part]


@final
class Workers:
    """One step is a round: H local steps on each of K workers, then the average."""

    rhythm = 10

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.rounds
        draw, h = generator(setup.seed, "weights"), setup.hidden
        shapes = ((64, h), (1, h), (h, 10), (1, 10))
        scales = (1 / 8, 0.0, h**-0.5, 0.0)
        every = [[scale * torch.randn(shape, generator=draw, dtype=torch.float64)
                  for shape, scale in zip(shapes, scales, strict=True)] for _ in range(setup.workers)]
        if setup.distribute_first:
            every = [every[0]] * setup.workers
        self.weights = [torch.stack(parts) for parts in zip(*every, strict=True)]

    def step(self, i: int) -> Record:
        found = torch.zeros(())
        for j in range(self.setup.local_steps):
            x, y = self.batches(i, j)
            self.weights, found = descend(self.weights, x, y, self.setup.lr)
        middle = averaged(self.weights)
        apart = sum(float((w - m).square().sum()) for w, m in zip(self.weights, middle, strict=True))
        self.weights = middle
        x, y = _digits("train")
        return {"loss": self._master(x, y)[0], "loss_workers": found.mean(),
                "apart": (apart / self.setup.workers) ** 0.5}

    def batches(self, i: int, j: int) -> tuple[Tensor, Tensor]:
        """Local step j of round i: x (K, n, 64), y (K, n), each worker from its own share of the digits."""
        x, y = _digits("train")
        share = len(y) // self.setup.workers
        draw = generator(self.setup.seed, f"batches/{i}/{j}")
        rows = torch.randint(share, (self.setup.workers, self.setup.batch_size), generator=draw)
        rows += share * torch.arange(self.setup.workers)[:, None]
        return x[rows], y[rows]

    def evaluate(self, split: str) -> Record:
        """Loss and accuracy of the master's net."""
        loss, accuracy = self._master(*_digits(split))
        return {"loss": loss, "accuracy": accuracy}

    def _master(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        W, b, V, c = (w[0] for w in self.weights)
        answers = torch.tanh(x @ W + b) @ V + c
        return F.cross_entropy(answers, y), (answers.argmax(1) == y).double().mean()

    def state(self) -> dict[str, Any]:
        return {"weights": [w.clone() for w in self.weights]}

    def restore(self, state: dict[str, Any]) -> None:
        self.weights = [w.clone() for w in state["weights"]]

    def pictures(self) -> dict[str, np.ndarray]:
        """This run again beside one worker alone and workers that start apart."""
        figure = sheet(800, 420)
        axes = figure.subplots()
        K = self.setup.workers
        runs = ((f"{K} workers / ワーカ {K}", replace(self.setup, distribute_first=True), RED),
                ("1 worker / ワーカ 1", replace(self.setup, workers=1), BLUE),
                (f"{K}, own starts / 別々の初期値", replace(self.setup, distribute_first=False), GREEN))
        for name, setup, colour in runs:
            program = Workers(setup)
            values = [float(program.step(i)["loss"]) for i in range(min(self.total, 40))]
            axes.semilogy(range(1, len(values) + 1), values, color=colour, linewidth=2, label=name)
        quiet(axes, "training loss of the master / マスタの訓練損失", "round / 通信回数").legend(frameon=False)
        return {"rounds": pixels(figure)}


def one_local_step_is_sgd_on_the_joined_batch() -> Check:
    """Ten rounds of 5 workers with 1 local step equal one net on the 5 batches joined: the difference is at most 1e-12.

    Source: equation (3): the mean of the gradients is the gradient of the mean
    """
    program = Workers(Setup(local_steps=1))
    one = [w[:1].clone() for w in program.weights]
    for i in range(10):
        program.step(i)
        x, y = program.batches(i, 0)
        one, _ = descend(one, x.flatten(0, 1)[None], y.flatten()[None], program.setup.lr)
    return at_most(max(float((w[:1] - v).abs().max()) for w, v in zip(program.weights, one, strict=True)), 1e-12)


def one_worker_is_sgd() -> Check:
    """Four rounds of 10 local steps of 1 worker equal torch's SGD over its 40 batches: the difference is at most 1e-12.

    Source: equation (3): an average of one
    """
    program = Workers(Setup(workers=1))
    plain = [w.clone().requires_grad_() for w in program.weights]
    optimiser = torch.optim.SGD(plain, lr=program.setup.lr)
    for i in range(4):
        program.step(i)
        for j in range(10):
            optimiser.zero_grad()
            losses(plain, *program.batches(i, j)).sum().backward()
            optimiser.step()
    return at_most(max(float((w - v.detach()).abs().max()) for w, v in zip(program.weights, plain, strict=True)), 1e-12)


def averaging_divides_the_noise() -> Check:
    """Ends of 5 noisy walks on w^2/2 vary 5 times as much as their average does, over 20,000 draws, within 10 percent.

    Source: equation (4); Stich 2019, arXiv:1805.09767
    """
    draw, w = generator(0, "noise"), torch.zeros(5, 20_000, dtype=torch.float64)
    for _ in range(50):
        w = w - 0.1 * (w + torch.randn(w.shape, generator=draw, dtype=w.dtype))
    return about(float(w.var() / averaged([w])[0][0].var()), 5.0, 0.5)


def starts_of_their_own_are_worse() -> Check:
    """After a first round of 100 local steps the average of 5 nets that started apart has over 2 times their own loss.

    Source: course notebook on distributed training; the average of nets from one start has about their own loss
    """
    row = Workers(Setup(distribute_first=False, local_steps=100)).step(0)
    return at_least(float(row["loss"]) / float(row["loss_workers"]), 2.0)


def distributing_first_mends_it() -> Check:
    """From one start that average's loss, divided by the one of nets that started apart, is below 0.5.

    Source: McMahan et al. 2017, figure 1
    """
    ends = [float(Workers(Setup(distribute_first=first, local_steps=100)).step(0)["loss"]) for first in (True, False)]
    return at_most(ends[0] / ends[1], 0.5)


CARD = Card(
    name="Local SGD with averaging",
    name_ja="パラメータ平均による分散学習 (Local SGD)",
    paper="McDonald, Hall, Mann 2010, Distributed training strategies for the structured perceptron; "
          "McMahan et al. 2017, arXiv:1602.05629",
    equations=(
        r"w_k \leftarrow w_k - \eta\,g_k(w_k)\quad (H\ \mathrm{times})",
        r"w = \frac{1}{K}\sum_k w_k",
        r"H = 1\ :\quad w - \frac{\eta}{K}\sum_k g_k(w),\qquad K = 1\ :\quad \mathrm{SGD}",
        r"\mathrm{Var}\,w = v / K",
    ),
    summary="Workers take steps of their own and a master averages them: one message in place of many, and less noise.",
    summary_ja="ワーカがそれぞれ数歩進み、マスタが平均して配り直す。通信は何分の一にもなり、雑音も減る。",
    topics=("optim.local-sgd-averaging",),
    facts=(one_local_step_is_sgd_on_the_joined_batch, one_worker_is_sgd, averaging_divides_the_noise,
           starts_of_their_own_are_worse, distributing_first_mends_it),
    notes=("In the notebook every worker starts from random weights of its own, so its first average mixes unrelated "
           "nets. Five workers also see five times the examples of one in each round.",),
    notes_ja=("ノートブックではワーカが別々の乱数の重みから始まるので、最初の平均は無関係なネットワークを混ぜてしまう。"
              "また、五つのワーカは毎回、一つの場合の五倍の例を見ている。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Handwritten digits, shared out among workers."""

    workers: int = 5
    """K"""
    local_steps: int = 10
    """H, steps of each worker between two averages"""
    rounds: int = 60
    """averages"""
    batch_size: int = 10
    """digits in a worker's step"""
    lr: float = 0.3
    """learning rate of the workers"""
    hidden: int = 32
    """units of the hidden layer"""
    distribute_first: bool = True
    """whether all workers start from the same weights"""
    seed: int = 0
    """of the weights and the batches"""


VARIANTS = {
    "smoke": Setup(rounds=40, local_steps=2, hidden=8),
    "default": Setup(),
    "alone": Setup(workers=1),
    "own-starts": Setup(distribute_first=False),
}


def build(setup: Setup, place: Place = Place()) -> Workers:  # noqa: B008 - a frozen value
    """The workers, in float64 on the CPU."""
    in_range(setup, ("workers", "local_steps", "rounds", "batch_size", "lr", "hidden"))
    return Workers(replace(setup, workers=min(setup.workers, 1200)))
