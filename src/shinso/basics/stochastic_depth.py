r"""Stochastic depth: a deep residual net that is shorter at every training step (Huang et al. 2016).

    h_l = h_{l-1} + b_l f_l(h_{l-1}),   b_l = 1 with probability p_l, else 0                        (1)
    p_l = 1 - l/L (1 - p_L),            from 1 at the input down to p_L at the last block           (2)
    E sum_l b_l = (3 L - 1) / 4         for p_L = 0.5                                               (3)
    h_l = h_{l-1} + p_l f_l(h_{l-1})    when testing: every block, weighted by how often it was there (4)

Whole blocks are dropped, not units: a quarter of the work is saved, and the gradient reaches the first blocks by short
ways. The surprise: the net of full depth that answers in the end was never trained as such. p is a probability to live,
not to die, and (4) scales the block, not the path around it.
"""

from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, cast, final

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.examples import open_data
from shinso.learn.classify import CLASSIFY
from shinso.learn.classify import pictures as confusion_and_mistakes
from shinso.learn.supervised import Batch, Plan, Supervised
from shinso.optim.adam import Adam


def survival(blocks: int, last: float) -> Tensor:
    """p_1 ... p_L of (2), float64 (L,)."""
    return 1 - torch.arange(1, blocks + 1, dtype=torch.float64) / blocks * (1 - last)  # (2)


@final
class Residual(nn.Module):
    """Blocks h + max(W h + b, 0) between two affine maps: (batch, ...) flattened -> (batch, classes)."""

    def __init__(self, features: int, width: int, classes: int, blocks: int, last: float):
        super().__init__()
        self.enter, self.leave = nn.Linear(features, width), nn.Linear(width, classes)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.chances = survival(blocks, last).tolist()
        self.live = [True] * blocks

    def forward(self, x: Tensor) -> Tensor:
        """(4)."""
        return self.weighted(x, self.chances)

    def weighted(self, x: Tensor, weights: list[float]) -> Tensor:
        """Each block with its weight; one of weight 0 is not computed."""
        h = self.enter(x.flatten(1))
        for block, weight in zip(self.blocks, weights, strict=True):
            h = h + weight * F.relu(block(h)) if weight else h  # (1), (4)
        return self.leave(h)


def objective(model: nn.Module, batch: Batch, noise: Generator) -> dict[str, Tensor]:
    """Cross entropy of a net that keeps block l with probability p_l, the same blocks for the whole batch."""
    net, (inputs, targets) = cast(Residual, model), batch
    drawn = torch.rand(len(net.chances), generator=noise, device=noise.device).tolist()
    net.live = [chance > u for chance, u in zip(net.chances, drawn, strict=True)]  # (1)
    return {"loss": F.cross_entropy(net.weighted(inputs, [float(b) for b in net.live]), targets)}


@final
class Shortened:
    """Supervised training that counts its live blocks."""

    watched = ("loss",)

    def __init__(self, inner: Supervised, net: Residual):
        self.inner, self.net = inner, net
        self.rhythm, self.total = inner.rhythm, inner.total
        self.lived, self.steps = [0] * len(net.chances), 0

    def step(self, i: int) -> Record:
        row = self.inner.step(i)
        self.steps += 1
        self.lived = [n + b for n, b in zip(self.lived, self.net.live, strict=True)]
        spread = sum(p * (1 - p) for p in self.net.chances) ** 0.5
        return {**row, "live": float(sum(self.net.live)), "measured": sum(self.lived) / self.steps,
                "predicted": sum(self.net.chances), "within": 5 * spread / self.steps**0.5 + 1e-9}

    def evaluate(self, split: str) -> Record:
        return self.inner.evaluate(split)

    def state(self) -> dict[str, Any]:
        return {"inner": self.inner.state(), "lived": list(self.lived), "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        self.inner.restore(state["inner"])
        self.lived, self.steps = list(state["lived"]), state["steps"]

    def networks(self) -> dict[str, nn.Module]:
        return self.inner.networks()

    def example(self) -> dict[str, Tensor]:
        return self.inner.example()

    def blame(self) -> str:
        return self.inner.blame()

    def pictures(self) -> dict[str, np.ndarray]:
        """How often each block was there beside (2), and what a classifier shows."""
        figure = sheet(800, 320)
        axes = figure.subplots()
        at = np.arange(1, len(self.lived) + 1)
        axes.bar(at, [n / max(1, self.steps) for n in self.lived], color="0.8", label="live / 使われた割合")
        axes.plot(at, self.net.chances, "o-", color="tab:blue", markersize=4, label="p_l (2)")
        axes.set(xlabel="block l / ブロック", ylabel="share of steps / 割合", ylim=(0, 1.05))
        axes.legend(loc="lower left")
        return {"blocks": pixels(figure)} | confusion_and_mistakes(self.net, self.inner.data)


def the_line_goes_from_one_to_a_half() -> Check:
    """For 54 blocks p_l falls by equal steps from 1 - 1/108 to 0.5.

    Source: Huang et al. 2016, equation (4); equation (2)
    """
    p = survival(54, 0.5)
    off = abs(float(p[0]) - (1 - 1 / 108)) + abs(float(p[-1]) - 0.5) + float(p.diff().diff().abs().max())
    return at_most(off, 1e-14)


def the_expected_depth() -> Check:
    """For 54 blocks the chances add up to (3 L - 1) / 4 = 40.25.

    Source: Huang et al. 2016, section 3; equation (3)
    """
    return about(float(survival(54, 0.5).sum()), (3 * 54 - 1) / 4, 1e-12)


def the_drawn_depth() -> Check:
    """Over 300 steps of a net of 54 blocks the mean number of live ones is 40.25 within 4 standard errors.

    Source: Huang et al. 2016, section 3
    """
    net, noise = Residual(2, 2, 2, 54, 0.5), generator(0, "drawn")
    batch = torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        depths = []
        for _ in range(300):
            objective(net, batch, noise)
            depths.append(sum(net.live))
    p = survival(54, 0.5)
    error = float((p * (1 - p)).sum() / len(depths)) ** 0.5
    return at_most(abs(sum(depths) / len(depths) - 40.25) / error, 4.0)


def _linear_net() -> tuple[list[Tensor], Tensor]:
    draw = generator(0, "linear")
    return [0.3 * torch.randn(4, 4, generator=draw, dtype=torch.float64) for _ in range(8)], survival(8, 0.5)


def _through(maps: list[Tensor], weights: list[float]) -> Tensor:
    h = torch.eye(4, dtype=torch.float64)
    for A, weight in zip(maps, weights, strict=True):
        h = h + weight * A @ h
    return h


def testing_is_the_mean_of_linear_nets() -> Check:
    """With 8 linear blocks (4) is the mean over all 256 shortened nets, to 1e-12.

    Source: Huang et al. 2016, equation (5); blocks are drawn independently
    """
    maps, p = _linear_net()
    mean = torch.zeros(4, 4, dtype=torch.float64)
    for live in product((0.0, 1.0), repeat=8):
        b = torch.tensor(live, dtype=torch.float64)
        mean += torch.where(b > 0, p, 1 - p).prod() * _through(maps, b.tolist())
    return at_most(float((mean - _through(maps, p.tolist())).abs().max()), 1e-12)


def chances_to_die_are_another_net() -> Check:
    """Read as chances to die, 1 - p_l, the same weights give an answer that is off by more than 0.1.

    Source: Huang et al. 2016 writes survival probabilities
    """
    maps, p = _linear_net()
    return at_least(float((_through(maps, (1 - p).tolist()) - _through(maps, p.tolist())).abs().max()), 0.1)


def a_skipped_block_learns_nothing() -> Check:
    """The gradient of every skipped block's weights is absent, and that of every live one's is there.

    Source: equation (1) with b_l = 0
    """
    with drawing_from(0, "skipped"):
        net = Residual(3, 8, 2, 10, 0.5)
    batch = torch.ones(4, 3), torch.tensor([0, 1, 0, 1])
    objective(net, batch, generator(1, "skipped"))["loss"].backward()
    wrong = sum((block.weight.grad is not None) != b  # pyright: ignore[reportAttributeAccessIssue]
                for block, b in zip(net.blocks, net.live, strict=True))
    return exactly(float(wrong if 0 < sum(net.live) < 10 else 10), 0.0)


CARD = Card(
    name="Stochastic depth",
    name_ja="確率的深さ (Stochastic Depth)",
    paper="Huang, Sun, Liu, Sedra, Weinberger 2016, Deep networks with stochastic depth, arXiv:1603.09382",
    equations=(
        r"h_l = h_{l-1} + b_l f_l(h_{l-1})",
        r"p_l = 1 - \frac{l}{L}(1 - p_L)",
        r"\mathrm{E}\sum_l b_l = (3L - 1)/4",
        r"h_l = h_{l-1} + p_l f_l(h_{l-1})",
    ),
    summary="Trains a deep residual net with some of its blocks left out at random, and asks all of them in the end.",
    summary_ja="深い残差ネットワークを、ランダムにブロックを省きながら訓練し、最後にはすべてのブロックを使って答える。",
    topics=("learn.stochastic-depth",),
    facts=(
        the_line_goes_from_one_to_a_half,
        the_expected_depth,
        the_drawn_depth,
        testing_is_the_mean_of_linear_nets,
        chances_to_die_are_another_net,
        a_skipped_block_learns_nothing,
    ),
    notes=("p_l is the probability to survive, from 1 down to 0.5, not the probability to be cut.",),
    notes_ja=("p_l は 1 から 0.5 まで下がる生存確率であり、切られる確率ではない。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A residual net of affine blocks, much deeper than it needs to be."""

    data: str = "digits:8x8"
    """data set: digits, digits:8x8, mnist, two-moons, folder:PATH ..."""
    blocks: int = 24
    """residual blocks L"""
    width: int = 64
    """units of each block"""
    last: float = 0.5
    """chance of the last block to live, p_L of (2); 1: constant depth"""
    epochs: int = 20
    """passes over the training part"""
    batch_size: int = 50
    """examples per step"""
    lr: float = 0.001
    """learning rate of Adam"""
    patience: int = 0
    """evaluations without improvement before stopping early; 0: never"""
    seed: int = 0
    """of the first weights, the order and the blocks"""


VARIANTS = {"smoke": Setup(epochs=2, blocks=8, width=16), "default": Setup(), "constant": Setup(last=1.0)}


def build(setup: Setup, place: Place = Place()) -> Shortened:  # noqa: B008 - a frozen value
    """The training program."""
    in_range(setup, ("blocks", "width", "epochs", "batch_size", "lr"), ("last",))
    data = open_data(setup.data)
    with drawing_from(setup.seed, "weights"):
        net = Residual(prod(data.about.shape), setup.width, len(data.about.classes), setup.blocks, setup.last)
    optimiser = Adam(net.to(place.device).parameters(), lr=setup.lr, fused=place.device != "mps")
    plan = Plan(epochs=setup.epochs, batch_size=setup.batch_size, seed=setup.seed)
    task = replace(CLASSIFY, objective=objective, pictures=confusion_and_mistakes)
    return Shortened(Supervised(net, optimiser, task, data, plan, replace(place, compile=False)), net)
