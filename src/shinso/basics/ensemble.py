r"""Ensemble learning: the mean of many answers (Hansen and Salamon 1990; Krogh and Vedelsby 1995).

    f(x) = 1/K sum_k f_k(x)                                                                         (1)
    (f(x) - y)^2 = 1/K sum_k (f_k(x) - y)^2 - 1/K sum_k (f_k(x) - f(x))^2                           (2)

The surprise is that (2) has no condition: whatever the members are, the squared error of their mean is the mean of
their errors less the spread among them. So a committee is never worse than its members on average, and what helps is
that they disagree: here each learns from its own draw of the examples and sees its own random features.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


def ambiguity(answers: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(error of the mean, mean error of the members, their spread) of (2), over x: answers (K, n), y (n,)."""
    mean = answers.mean(0)  # (1)
    return (mean - y).square().mean(), (answers - y).square().mean(), (answers - mean).square().mean()


def truth(x: Tensor) -> Tensor:
    """The curve behind the examples."""
    return torch.sin(3 * x) + 0.5 * x


def member(x: Tensor, y: Tensor, features: int, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """One member: random ReLU features (slopes, bends) and their best weights on a bootstrap draw of the examples."""
    slope = torch.randn(features, generator=draw, dtype=x.dtype)
    bend = 2 * torch.rand(features, generator=draw, dtype=x.dtype) - 1
    rows = torch.randint(len(x), (len(x),), generator=draw)
    H = _hidden(x[rows], slope, bend)
    penalty = 1e-4 * torch.eye(features, dtype=x.dtype)
    return slope, bend, torch.linalg.solve(H.T @ H + penalty, H.T @ y[rows])


def answer(one: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    """What a member says at x (n,)."""
    slope, bend, weights = one
    return _hidden(x, slope, bend) @ weights


def _hidden(x: Tensor, slope: Tensor, bend: Tensor) -> Tensor:
    return F.relu(slope * (x[:, None] - 2 * bend))


@final
class Committee:
    """One more member at each step, and (2) on 400 points that no member saw."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.members
        draw = generator(setup.seed, "examples")
        self.x = 4 * torch.rand(setup.examples, generator=draw, dtype=torch.float64) - 2
        self.y = truth(self.x) + setup.noise * torch.randn(setup.examples, generator=draw, dtype=torch.float64)
        self.at = torch.linspace(-2, 2, 400, dtype=torch.float64)
        self.answers = torch.zeros(0, 400, dtype=torch.float64)

    def step(self, i: int) -> Record:
        one = member(self.x, self.y, self.setup.features, generator(self.setup.seed, f"member/{i}"))
        self.answers = torch.cat([self.answers, answer(one, self.at)[None]])
        error, members, spread = ambiguity(self.answers, truth(self.at))
        return {"loss": error, "error": error, "error_bound": members, "spread": spread,
                "measured": error, "predicted": members - spread, "within": 1e-12 * float(members)}

    def state(self) -> dict[str, Any]:
        return {"answers": self.answers}

    def restore(self, state: dict[str, Any]) -> None:
        self.answers = state["answers"].clone()

    def pictures(self) -> dict[str, np.ndarray]:
        """The members and their mean; both sides of (2) as the committee grows."""
        if not len(self.answers):
            return {}
        figure = sheet(900, 360)
        left, right = figure.subplots(1, 2)
        left.plot(self.at, self.answers[:30].T.numpy(), color="0.8", linewidth=0.6)
        left.plot(self.at, self.answers.mean(0), label="mean / 平均")
        left.plot(self.at, truth(self.at), "k--", linewidth=1, label="truth / 真の関数")
        left.plot(self.x, self.y, "r.", markersize=5, label="examples / 訓練データ")
        left.set(xlabel="x", ylabel="y", ylim=(-3, 3))
        parts = [ambiguity(self.answers[:k], truth(self.at)) for k in range(1, len(self.answers) + 1)]
        error, members, spread = (np.array([float(part[i]) for part in parts]) for i in range(3))
        k = np.arange(1, len(parts) + 1)
        right.semilogy(k, members, label="mean error of members / 個々の平均")
        right.semilogy(k, error, label="error of the mean / 平均の誤差")
        right.semilogy(k, members - spread, "k:", label="(2)")
        right.set(xlabel="members K / 人数", ylabel="squared error / 二乗誤差")
        for axes in (left, right):
            axes.legend()
        return {"committee": pixels(figure)}


def the_identity_holds() -> Check:
    """For 50 random committees both sides of (2) agree to 1e-14 of the members' error.

    Source: Krogh and Vedelsby 1995, equation (6)
    """
    worst = 0.0
    for i in range(50):
        draw = generator(i, "committee")
        size = int(torch.randint(1, 20, (), generator=draw))
        answers = torch.randn(size, 30, generator=draw, dtype=torch.float64) * torch.arange(1, 31)
        error, members, spread = ambiguity(answers, torch.randn(30, generator=draw, dtype=torch.float64))
        worst = max(worst, abs(float((error - members + spread) / members)))
    return at_most(worst, 1e-14)


def the_mean_is_never_worse() -> Check:
    """At every point of those that 40 members answer, the squared error of the mean is at most the mean squared error.

    Source: Krogh and Vedelsby 1995; the spread in (2) is not negative
    """
    program = _committee(40)
    y = truth(program.at)
    excess = (program.answers.mean(0) - y).square() - (program.answers - y).square().mean(0)
    return at_most(float(excess.max()), 1e-15)


def a_committee_of_forty_halves_the_error() -> Check:
    """On points that no member saw, the members' mean error is at least twice the error of their mean.

    Source: Hansen and Salamon 1990; Breiman 1996 (bagging)
    """
    program = _committee(40)
    error, members, _ = ambiguity(program.answers, truth(program.at))
    return at_least(float(members / error), 2.0)


def copies_win_nothing() -> Check:
    """Forty copies of one member have exactly its error: without disagreement nothing is gained.

    Source: equation (2) with spread 0
    """
    program = _committee(1)
    error, members, spread = ambiguity(program.answers.expand(40, -1), truth(program.at))
    return exactly(float(abs(error - members) > 1e-15) + float(spread > 1e-15), 0.0)


def _committee(size: int) -> Committee:
    program = Committee(Setup(members=size))
    for i in range(size):
        program.step(i)
    return program


CARD = Card(
    name="Ensemble learning",
    name_ja="アンサンブル学習",
    paper="Hansen and Salamon 1990, Neural network ensembles, IEEE PAMI 12; Krogh and Vedelsby 1995",
    equations=(
        r"f(x) = \frac{1}{K}\sum_k f_k(x)",
        r"(f - y)^2 = \frac{1}{K}\sum_k (f_k - y)^2 - \frac{1}{K}\sum_k (f_k - f)^2",
    ),
    summary="Averages many answers: the error of the mean is the mean error less the disagreement.",
    summary_ja="多くの答えを平均する。平均の誤差は、誤差の平均から答えのばらつきを引いたものになる。",
    topics=("learn.ensemble",),
    facts=(
        the_identity_holds,
        the_mean_is_never_worse,
        a_committee_of_forty_halves_the_error,
        copies_win_nothing,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A committee for a noisy curve."""

    members: int = 100
    """members K"""
    examples: int = 40
    """points of the curve"""
    noise: float = 0.3
    """standard deviation of their noise"""
    features: int = 30
    """random bends of each member"""
    seed: int = 0
    """of the points and the members"""


VARIANTS = {"smoke": Setup(members=40), "default": Setup()}


def build(setup: Setup, place: Place = Place()) -> Committee:  # noqa: B008 - a frozen value
    """The committee, in float64 on the CPU."""
    in_range(setup, ("members", "examples", "features"))
    return Committee(setup)
