r"""Monte Carlo dropout: leave the noise on when predicting, and read doubt from the spread (Gal, Ghahramani 2016).

    mean(x) = 1/T sum_t f(x; mu_t),   spread(x)^2 = 1/(T-1) sum_t (f(x; mu_t) - mean(x))^2          (1)

For a linear model the masks can be summed up beforehand: with x . mu / (1 - p),

    Var f(x) = p / (1 - p) sum_j (w_j x_j)^2                                                        (2)

The surprise: nothing new is trained. The network that was fitted with dropout already holds many answers; where the
training points are, the masks agree, and away from them each goes its own way. Only dropout may be switched back on:
batch normalisation in training mode would answer for x by what else is in the batch.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator, put_back
from shinso.core.setup import in_range
from shinso.optim.adam import Adam

INSIDE, OUTSIDE = (-2.0, 2.0), (3.0, 6.0)
"""where examples lie, and where nothing is known (on both sides)"""


@final
class Noisy(nn.Module):
    """One input, two hidden layers that lose units with probability p, one output: (n, 1) -> (n, 1)."""

    def __init__(self, width: int, p: float):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(1, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.p = p

    def forward(self, x: Tensor, draw: Generator | None = None) -> Tensor:
        h = masked(F.relu(self.first(x)), self.p, draw)
        return self.last(masked(F.relu(self.second(h)), self.p, draw))


def masked(h: Tensor, p: float, draw: Generator | None) -> Tensor:
    """h . mu / (1 - p), a mask for each row of (n, units), one for each network of (networks, n, units)."""
    if draw is None:
        return h
    one_each = (*h.shape[:-2], 1, h.shape[-1]) if h.ndim == 3 else h.shape
    return h * (torch.rand(one_each, generator=draw) >= p) / (1 - p)


@torch.no_grad()
def samples(model: Noisy, x: Tensor, count: int, draw: Generator) -> Tensor:
    """The answers of `count` thinned networks, (count, n); their mean and deviation are (1)."""
    return model(x.expand(count, *x.shape), draw)[..., 0]


def variance(w: Tensor, x: Tensor, p: float) -> Tensor:
    """(2): the spread of w . (x . mu) / (1 - p) over the masks, for x (n, d) and w (d,)."""
    return p / (1 - p) * (x * w).square().sum(1)


def only_dropout_on(model: nn.Module) -> nn.Module:
    """`model` as it predicts with doubt: its torch.nn.Dropout layers in training mode, everything else in eval."""
    model.eval()
    for layer in model.modules():
        if isinstance(layer, (nn.Dropout, nn.Dropout2d, nn.AlphaDropout)):
            layer.train()
    return model


@final
class Doubt:
    """A network fitted to points of a curve between -2 and 2, and its spread there and beyond."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        draw = generator(setup.seed, "points")
        low, high = INSIDE
        self.x = low + (high - low) * torch.rand(setup.examples, 1, generator=draw)
        self.y = curve(self.x) + 0.1 * torch.randn(setup.examples, 1, generator=draw)
        with drawing_from(setup.seed, "weights"):
            self.model = Noisy(setup.width, setup.p)
        self.optimiser = Adam(self.model.parameters(), lr=setup.lr, fused=True)
        self.noise = generator(setup.seed, "masks")

    def step(self, i: int) -> Record:
        self.optimiser.zero_grad()
        loss = F.mse_loss(self.model(self.x, self.noise), self.y)
        loss.backward()
        self.optimiser.step()
        row: dict[str, float | Tensor] = {"loss": loss.detach()}
        return row | self.spreads(self.setup.samples // 10 if i + 1 < self.total else self.setup.samples)

    def spreads(self, count: int) -> dict[str, Tensor]:
        """The mean of (1)'s spread where examples are and where none are, from `count` masks."""
        draw = generator(self.setup.seed, "look")
        inside, right = (torch.linspace(*ends, 10)[:, None] for ends in (INSIDE, OUTSIDE))
        return {"spread_inside": samples(self.model, inside, count, draw).std(0).mean(),
                "spread_outside": samples(self.model, torch.cat([-right, right]), count, draw).std(0).mean()}

    def state(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
                "noise": self.noise.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        put_back(self.noise, state["noise"])

    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.model}

    def example(self) -> dict[str, Tensor]:
        return {"model": torch.zeros(2, 1)}

    def pictures(self) -> dict[str, np.ndarray]:
        """The curve, the points, the mean answer and a band of two deviations around it."""
        x = torch.linspace(-OUTSIDE[1], OUTSIDE[1], 241)[:, None]
        answers = samples(self.model, x, self.setup.samples, generator(self.setup.seed, "look"))
        mean, spread, at = answers.mean(0).numpy(), answers.std(0).numpy(), x[:, 0].numpy()
        figure = sheet(800, 400)
        axes = figure.subplots()
        axes.plot(at, answers[:12].numpy().T, color="0.6", linewidth=0.6)
        axes.fill_between(at, mean - 2 * spread, mean + 2 * spread, alpha=0.3, label="±2 spread / ±2 標準偏差")
        axes.plot(at, mean, label="mean / 平均")
        axes.plot(at, curve(x)[:, 0].numpy(), "k--", linewidth=1, label="truth / 真の関数")
        axes.plot(self.x[:, 0].numpy(), self.y[:, 0].numpy(), "r.", markersize=4, label="examples / 訓練データ")
        axes.set(xlabel="x", ylabel="y", ylim=(-4, 4))
        axes.legend(ncols=2, loc="lower center")
        return {"doubt": pixels(figure)}


def curve(x: Tensor) -> Tensor:
    """What is to be learned."""
    return torch.sin(2 * x) + 0.3 * x


def _linear() -> tuple[Tensor, Tensor, float]:
    draw = generator(0, "linear")
    return torch.randn(5, 20, generator=draw, dtype=torch.float64), \
        torch.randn(20, generator=draw, dtype=torch.float64), 0.3


def the_variance_of_a_linear_model() -> Check:
    """20,000 masks of a linear model: the variance is (2), at 5 inputs within 4 standard errors of such an estimate.

    Source: Gal and Ghahramani 2016, section 3; equation (2)
    """
    x, w, p = _linear()
    answers = masked(x.expand(20_000, *x.shape), p, generator(0, "masks")) @ w
    centred = (answers - answers.mean(0)).square()
    error = centred.std(0) / len(answers) ** 0.5
    return at_most(float(((centred.mean(0) - variance(w, x, p)) / error).abs().max()), 4.0)


def the_mean_is_the_plain_answer() -> Check:
    """The mean of those answers is w . x, within 4 standard errors.

    Source: mu / (1 - p) has mean 1
    """
    x, w, p = _linear()
    answers = masked(x.expand(20_000, *x.shape), p, generator(0, "masks")) @ w
    return at_most(float(((answers.mean(0) - x @ w) / (answers.std(0) / len(answers) ** 0.5)).abs().max()), 4.0)


def doubt_grows_with_the_square() -> Check:
    """An input 3 times as far away has 9 times the variance in a linear model.

    Source: equation (2)
    """
    x, w, p = _linear()
    return about(float((variance(w, 3 * x, p) / variance(w, x, p)).max()), 9.0, 1e-12)


def doubt_is_larger_where_nothing_was_learned() -> Check:
    """After 400 steps on points between -2 and 2 the spread between 3 and 6 is at least 1.5 times that inside.

    Source: Gal and Ghahramani 2016, figure 2
    """
    program = Doubt(Setup(steps=400, samples=20))
    for i in range(400):
        program.step(i)
    spread = program.spreads(100)
    return at_least(float(spread["spread_outside"] / spread["spread_inside"]), 1.5)


def normalisation_stays_out_of_it() -> Check:
    """With dropout alone switched on, an answer does not depend on the batch that it is in (p = 0: to 0).

    Source: Ioffe and Szegedy 2015, section 3.1: inference uses the moving averages
    """
    return exactly(_dependence(only_dropout_on), 0.0)


def training_mode_would_bring_it_in() -> Check:
    """With the whole network in training mode the same answer moves by more than 0.1 with the batch.

    Source: Ioffe and Szegedy 2015, section 3.1
    """
    return at_least(_dependence(lambda model: model.train()), 0.1)


def _dependence(switch: Any) -> float:
    with drawing_from(0, "normalised"):
        model = switch(nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.0), nn.Linear(8, 1)).double())
        x, others = torch.randn(2, 4, 3, dtype=torch.float64)
        with torch.no_grad():
            return float((model(torch.cat([x, 5 * others]))[:4] - model(torch.cat([x, others]))[:4]).abs().max())


CARD = Card(
    name="Monte Carlo dropout",
    name_ja="モンテカルロ・ドロップアウト",
    paper="Gal and Ghahramani 2016, Dropout as a Bayesian approximation, arXiv:1506.02142",
    equations=(
        r"m(x) = \frac{1}{T}\sum_t f(x; \mu_t),\quad s(x)^2 = \frac{1}{T-1}\sum_t (f(x; \mu_t) - m(x))^2",
        r"\mathrm{Var}\,f(x) = \frac{p}{1-p}\sum_j (w_j x_j)^2",
    ),
    summary="Keeps dropout on when predicting: where the thinned networks disagree, the network does not know.",
    summary_ja="予測のときもドロップアウトを残す。間引いたネットワークの答えが割れるところでは、答えが分からない。",
    topics=("learn.mc-dropout",),
    facts=(
        the_variance_of_a_linear_model,
        the_mean_is_the_plain_answer,
        doubt_grows_with_the_square,
        doubt_is_larger_where_nothing_was_learned,
        normalisation_stays_out_of_it,
        training_mode_would_bring_it_in,
    ),
    notes=("Batch normalisation must stay in evaluation mode while dropout is on.",
           "The spread says where masks disagree; beyond the examples it can still be far too small for the error."),
    notes_ja=("ドロップアウトを残すあいだも、バッチ正規化は評価モードのままにしなければならない。",
              "標準偏差が示すのはマスク間の食い違いである。訓練データの外では、実際の誤差よりずっと小さいこともある。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A curve that is known between -2 and 2 only."""

    examples: int = 60
    """points between -2 and 2"""
    width: int = 128
    """units of each of the two hidden layers"""
    p: float = 0.2
    """probability that a hidden unit is missing"""
    samples: int = 200
    """masks T of (1) for the last record and the picture; a tenth of them before"""
    steps: int = 1500
    """steps of Adam on all points"""
    lr: float = 0.005
    """learning rate"""
    seed: int = 0
    """of the points, the first weights and the masks"""


VARIANTS = {"smoke": Setup(steps=60, width=32), "default": Setup()}


def build(setup: Setup, place: Place = Place()) -> Doubt:  # noqa: B008 - a frozen value
    """The fit, on the CPU: it is too small for anything else."""
    in_range(setup, ("examples", "width", "samples", "steps", "lr"), ("p",))
    return Doubt(setup)
