r"""A wide network trains to zero error, in a straight line (Du, Zhai, Poczos, Singh 2019; Allen-Zhu, Li, Song 2019).

    f(x) = 1/sqrt(m) sum_r a_r max(w_r x, 0),   a_r = +-1 fixed,   J = 1/2 sum_i (f(x_i) - y_i)^2   (1)

Gradient descent on the w_r moves the answers u_i = f(x_i) by -eta H (u - y) with the Gram matrix of the neural tangent
kernel, which for unit inputs and m -> infinity is a matrix of the inputs alone,

    H_ij = x_i x_j (pi - arccos(x_i x_j)) / (2 pi)                                                  (2)

No two inputs are parallel, so its least eigenvalue lambda is above 0, and for m large enough (eta small) at step t

    J_t <= (1 - eta lambda / 2)^t J_0,   in the slowest direction J_t ~ (1 - eta lambda)^(2 t) J_0  (3)

The surprise: the error is not convex in w, there are two hundred times more units than examples, and descent still goes
straight down to zero, because each unit hardly has to move: the distance falls as 1/sqrt(m).
"""

from dataclasses import dataclass, replace
from functools import cache
from math import log, log1p, pi
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


def kernel(X: Tensor) -> Tensor:
    """(2) for unit rows X (n, d): float64 (n, n)."""
    G = (X @ X.T).clamp(-1, 1)
    return G * (pi - G.arccos()) / (2 * pi)  # (2)


def kernel_of(X: Tensor, W: Tensor) -> Tensor:
    """The same matrix of a network of finite width with weights W (m, d)."""
    active = (X @ W.T > 0).to(X)
    return (X @ X.T) * (active @ active.T) / len(W)


@final
class Wide:
    """Full-batch descent on (1); units come in pairs of opposite sign, so that the network starts at f = 0."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        draw = generator(setup.seed, "points")
        X = torch.randn(setup.examples, setup.features, generator=draw, dtype=torch.float64)
        self.X = X / X.norm(dim=1, keepdim=True)
        values, vectors = torch.linalg.eigh(kernel(self.X))
        self.least, self.rate = float(values[0]), setup.share / float(values[-1])
        chosen = torch.randn(setup.examples, generator=draw, dtype=torch.float64)
        self.y = chosen / chosen.norm() if setup.targets == "random" else vectors[:, 0] * vectors[0, 0].sign()
        half = max(1, setup.width // 2)
        W = torch.randn(half, setup.features, generator=generator(setup.seed, "weights"), dtype=torch.float64)
        self.W = self.start = W.repeat(2, 1)
        self.a = torch.ones(half, dtype=torch.float64).repeat(2) / (2 * half) ** 0.5
        self.a[half:] *= -1

    def step(self, i: int) -> Record:
        Z = self.X @ self.W.T
        wrong = Z.clamp(min=0) @ self.a - self.y
        self.W = self.W - self.rate * ((wrong[:, None] * (Z > 0) * self.a).T @ self.X)
        loss, first = float(wrong.square().sum()) / 2, 0.5
        row = {"loss": loss, "loss_bound": first * (1 - self.rate * self.least / 2) ** i,  # (3)
               "moved": (self.W - self.start).norm(dim=1).max()}
        if self.setup.targets == "slowest":
            line = 2 * i * log1p(-self.rate * self.least)  # (3)
            row |= {"measured": log(max(loss, 1e-300)), "predicted": log(first) + line,
                    "within": 0.1 * abs(line) + 0.01}
        return row

    def state(self) -> dict[str, Any]:
        return {"W": self.W}

    def restore(self, state: dict[str, Any]) -> None:
        self.W = state["W"].clone()

    def pictures(self) -> dict[str, np.ndarray]:
        """Three widths run from the start: the losses with (3), and how far a unit moves."""
        figure = sheet(900, 360)
        left, right = figure.subplots(1, 2)
        widths, moved = [16, 64, 256, 1024, 4096], []
        for width in widths:
            program = Wide(replace(self.setup, width=width))
            rows = [program.step(i) for i in range(min(self.total, 120))]
            moved.append(float(rows[-1]["moved"]))
            if width in (16, 256, 4096):
                left.semilogy([row["loss"] for row in rows], label=f"m = {width}")
        steps = np.arange(min(self.total, 120))
        if self.setup.targets == "slowest":
            left.semilogy(steps, 0.5 * (1 - self.rate * self.least) ** (2 * steps), "k:", label="predicted (3) / 予測")
        left.semilogy(steps, 0.5 * (1 - self.rate * self.least / 2) ** steps, "k--", linewidth=1, label="bound / 上界")
        left.set(xlabel="step t", ylabel="loss / 損失", ylim=(1e-12, 2))
        right.loglog(widths, moved, "o-", label="measured / 測定")
        right.loglog(widths, moved[-1] * (np.array(widths) / widths[-1]) ** -0.5, "k:", label="1/√m")
        right.set(xlabel="width m / 幅", ylabel="longest way of a unit / 移動距離")
        for axes in (left, right):
            axes.legend()
        return {"lazy": pixels(figure)}


@cache
def _losses(targets: Literal["slowest", "random"]) -> tuple[float, ...]:
    """The losses down to 1e-8, at most 400 of them."""
    program, found = Wide(Setup(targets=targets)), []
    for i in range(400):
        found.append(float(program.step(i)["loss"]))
        if found[-1] < 1e-8:
            break
    return tuple(found)


def the_error_goes_to_zero() -> Check:
    """A net of width 4,096 brings the loss of 20 points with random targets below 1e-8 within 400 steps.

    Source: Du, Zhai, Poczos, Singh 2019, theorem 4.1
    """
    return at_most(_losses("random")[-1], 1e-8)


def in_a_straight_line() -> Check:
    """Down to 1e-8 the logarithm of the loss is a straight line in t with R2 above 0.99, for random targets.

    Source: equation (3)
    """
    found = np.log(_losses("random"))
    steps = np.arange(len(found))
    left = found - np.polyval(np.polyfit(steps, found, 1), steps)
    return at_least(float(1 - left.var() / found.var()), 0.99)


def the_rate_is_the_least_eigenvalue() -> Check:
    """With targets along the slowest direction the slope is that of (3) with the least eigenvalue, within 10 percent.

    Source: Du, Zhai, Poczos, Singh 2019; equations (2) and (3)
    """
    found, program = np.log(_losses("slowest")), Wide(Setup())
    slope = np.polyfit(np.arange(len(found)), found, 1)[0]
    return about(float(slope / (2 * log1p(-program.rate * program.least))), 1.0, 0.1)


def never_above_the_bound() -> Check:
    """For random targets the loss divided by its bound (3) is never above 1 on the way to 1e-8.

    Source: Du, Zhai, Poczos, Singh 2019, theorem 4.1
    """
    program = Wide(Setup())
    bounds = 0.5 * (1 - program.rate * program.least / 2) ** np.arange(len(_losses("random")))
    return at_most(float((np.array(_losses("random")) / bounds).max()), 1 + 1e-12)


def the_kernel_is_the_mean_over_units() -> Check:
    """Over 40,000 random units the Gram matrix is (2): the largest entry of the difference is below 0.02.

    Source: Du, Zhai, Poczos, Singh 2019, assumption 3.1: an entry's standard error is at most 0.0025
    """
    X = Wide(Setup()).X
    W = torch.randn(40_000, X.shape[1], generator=generator(0, "units"), dtype=torch.float64)
    return at_most(float((kernel_of(X, W) - kernel(X)).abs().max()), 0.02)


def wider_nets_move_less() -> Check:
    """After 60 steps the unit that moved most has gone at least 3 times as far at width 256 as at width 4,096.

    Source: Du, Zhai, Poczos, Singh 2019, lemma 3.3: as 1/sqrt(m), here 4
    """
    far = []
    for width in (256, 4096):
        program = Wide(Setup(width=width))
        far.append(float([program.step(i)["moved"] for i in range(60)][-1]))
    return at_least(far[0] / far[1], 3.0)


CARD = Card(
    name="Over-parametrised networks train to zero error",
    name_ja="過剰パラメータのネットワークの学習",
    paper="Du, Zhai, Poczos, Singh 2019, Gradient descent provably optimizes over-parameterized nets, arXiv:1810.02054",
    equations=(
        r"f(x) = \frac{1}{\sqrt{m}}\sum_r a_r \max(w_r x, 0),\quad J = \frac{1}{2}\sum_i (f(x_i) - y_i)^2",
        r"H_{ij} = x_i^T x_j\,\frac{\pi - \arccos(x_i^T x_j)}{2\pi}",
        r"J_t \leq (1 - \eta\lambda/2)^t J_0,\quad J_t \approx (1 - \eta\lambda)^{2t} J_0",
    ),
    summary="Far more units than examples: the loss falls in a straight line, at a rate known before the first step.",
    summary_ja="例よりはるかに多いユニットがあれば、損失は対数で直線的に減る。その速さは最初のステップの前に分かる。",
    topics=("learn.overparametrised-gd",),
    facts=(
        the_error_goes_to_zero,
        in_a_straight_line,
        the_rate_is_the_least_eigenvalue,
        never_above_the_bound,
        the_kernel_is_the_mean_over_units,
        wider_nets_move_less,
    ),
    notes=("The widths in the theorems are far larger than 4,096; the experiment does not need them.",),
    notes_ja=("定理が求める幅は 4,096 よりはるかに大きい。実験ではそこまで必要ない。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Twenty points on a sphere and one wide layer."""

    width: int = 4096
    """units m, in pairs"""
    examples: int = 20
    """points"""
    features: int = 20
    """dimensions of the sphere's space"""
    targets: Literal["slowest", "random"] = "slowest"
    """slowest: along the eigenvector of the least eigenvalue, so that the rate is known; random: any"""
    share: float = 0.5
    """learning rate as a share of one over the largest eigenvalue"""
    steps: int = 120
    """steps on all points"""
    seed: int = 0
    """of the points and the weights"""


VARIANTS = {"smoke": Setup(steps=40), "default": Setup(), "random": Setup(targets="random")}


def build(setup: Setup, place: Place = Place()) -> Wide:  # noqa: B008 - a frozen value
    """The descent, in float64 on the CPU."""
    in_range(setup, ("width", "examples", "features", "steps"), ("share",))
    return Wide(setup)
