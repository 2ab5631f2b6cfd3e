r"""Two phases of learning with an identity mapping (Li, Yuan 2017).

    f_W(x) = |s((I + W)^T x)|_1 = sum_i s((e_i + w_i) x),   s(u) = max(u, 0),   x ~ N(0, I)         (1)

learns from a teacher of the same form with small |W*|_2: every unit starts as the identity's own row, W = 0, and has to
find a small change. Descent on L(W) = 1/2 E (f_W - f_{W*})^2 has two phases. First the potential

    g = sum_i (|e_i + w*_i| - |e_i + w_i|)                                                          (2)

falls: the units agree on how strong they are in all. Then one-point convexity holds,

    <-grad L(W), W* - W> >= delta |W* - W|^2,   delta > 0                                           (3)

every step goes towards W*, and with step size eta the distance falls at least as (1 - eta delta)^t as long as
eta |grad L|^2 <= delta |W* - W|^2. L is not convex, and its Hessian would not tell.

The surprise: most of the loss goes while the weights have hardly come nearer to the answer; the second phase, forty
times as long, is for what the eye does not see in the loss. The identity matters: the theorem is about this
network, with unit output weights.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, quiet
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record, plain
from shinso.core.seed import generator, put_back
from shinso.core.setup import in_range
from shinso.theory.arc_cosine import gradient, loss


@final
class Residual:
    """Descent on (1) from W = 0, by the exact gradient or by fresh samples; the rows of `W` are the w_i."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total, d = setup, setup.steps, setup.dimensions
        draw = generator(setup.seed, "teacher")
        target = torch.randn(d, d, generator=draw, dtype=torch.float64)
        self.target = setup.norm * target / torch.linalg.matrix_norm(target, 2)
        self.one, self.W = torch.eye(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
        self.stream = generator(setup.seed, "samples")
        self.rows: list[dict[str, float]] = []

    def potential(self) -> float:
        """g."""
        return float((self.one + self.target).norm(dim=1).sum() - (self.one + self.W).norm(dim=1).sum())  # (2)

    def slope(self) -> Tensor:
        """The gradient of L, exact."""
        return gradient(self.one + self.W, self.one + self.target)

    def sampled_slope(self) -> Tensor:
        """The same over a batch of new samples."""
        x = torch.randn(self.setup.batch_size, len(self.one), generator=self.stream, dtype=torch.float64)
        z = x @ (self.one + self.W).T
        wrong = z.clamp(min=0).sum(1) - (x @ (self.one + self.target).T).clamp(min=0).sum(1)
        return ((z > 0) * wrong[:, None]).T @ x / len(x)

    def step(self, i: int) -> Record:
        away = self.target - self.W
        slope = self.slope()
        inner = float((-slope * away).sum())
        row = {"loss": loss(self.one + self.W, self.one + self.target).clamp(min=0), "potential": self.potential(),
               "distance": away.norm(), "inner_product": inner, "delta": inner / float(away.square().sum())}
        self.rows.append(plain(row))
        self.W = self.W - self.setup.lr * (self.sampled_slope() if self.setup.batch_size else slope)
        return row

    def state(self) -> dict[str, Any]:
        return {"W": self.W, "rows": [dict(row) for row in self.rows], "stream": self.stream.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.W, self.rows = state["W"].clone(), [dict(row) for row in state["rows"]]
        put_back(self.stream, state["stream"])

    def pictures(self) -> dict[str, np.ndarray]:
        """Loss, potential and distance, each by its start; delta of (3)."""
        if not self.rows:
            return {}
        figure = sheet(900, 380)
        left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
        seen = {name: np.array([row[name] for row in self.rows]) for name in self.rows[0]}
        steps = np.arange(1, len(self.rows) + 1)
        for name, colour, label in (("loss", GREY, "loss / 損失"),
                                    ("potential", ORANGE, "potential |g| (2) / ポテンシャル"),
                                    ("distance", BLUE, "distance |W* − W| / 距離")):
            left.loglog(steps, np.maximum(np.abs(seen[name] / seen[name][0]), 1e-6), color=colour, label=label)
        left.axvline(settled(self.rows), color=GREEN, linestyle=":", label="phase I | II / 第一段階の終わり")
        quiet(left, "Two phases, by the start / 二つの段階", "step / ステップ")
        left.legend(fontsize=9, loc="lower left")
        right.semilogx(steps, seen["delta"], color=BLUE)
        right.axhline(0, color=GREY, linewidth=0.8)
        right.set_ylim(min(0.0, 1.1 * float(seen["delta"].min())) - 0.02, None)
        quiet(right, "One-point convexity δ (3) / 一点凸性", "step / ステップ")
        return {"two_phases": pixels(figure)}


def settled(rows: list[dict[str, float]], name: str = "potential") -> int:
    """The first step, from 1, at which |row[name]| is a tenth of what it was at the start; after the last if never."""
    start = abs(rows[0][name])
    return next((t for t, row in enumerate(rows, 1) if abs(row[name]) <= start / 10), len(rows) + 1)


@cache
def _course(seed: int = 0, batch_size: int = 0) -> tuple[Residual, list[dict[str, float]]]:
    program = Residual(replace(Setup(), seed=seed, batch_size=batch_size))
    for i in range(program.total):
        program.step(i)
    return program, program.rows


def the_loss_goes_to_zero() -> Check:
    """With d = 10 and a spectral norm of W* of 0.3 the loss after 400 steps is below 1e-4.

    Source: Li, Yuan 2017, theorem 3.1
    """
    return at_most(_course()[1][-1]["loss"], 1e-4)


def also_from_samples() -> Check:
    """So it is with SGD on batches of 100 new samples: the loss after 400 steps is below 1e-4.

    Source: Li, Yuan 2017, theorem 3.1, which is about SGD
    """
    return at_most(_course(0, 100)[1][-1]["loss"], 1e-4)


def the_potential_falls_first() -> Check:
    """For 3 teachers |g| is down to a tenth at least 5 times as early as the distance to W*: the least ratio of steps.

    Source: Li, Yuan 2017, section 4: phase I
    """
    return at_least(min(settled(rows, "distance") / settled(rows) for _, rows in map(_course, range(3))), 5.0)


def then_every_step_goes_to_the_teacher() -> Check:
    """For 3 teachers the least delta of (3) over the last half of 400 steps is above 0.05.

    Source: Li, Yuan 2017, section 4: phase II, one-point convexity
    """
    return at_least(min(row["delta"] for seed in range(3) for row in _course(seed)[1][200:]), 0.05)


def it_was_positive_all_the_way() -> Check:
    """Here delta is positive in phase I, too: the least one over all steps for 3 teachers is above 0.

    Source: measured here; the proof does not need it
    """
    return at_least(min(row["delta"] for seed in range(3) for row in _course(seed)[1]), 1e-3)


def a_step_shortens_the_distance_by_delta() -> Check:
    """|W* - W|^2 after a step over that before, less 1 - 2 eta delta + (eta |grad| / |W* - W|)^2: below 1e-12 in 400.

    Source: the square of W* - W + eta grad, written out with (3)
    """
    program, worst = Residual(Setup()), 0.0
    for i in range(program.total):
        length, row = float(program.slope().norm()), plain(program.step(i))
        told = 1 - 2 * program.setup.lr * row["delta"] + (program.setup.lr * length / row["distance"]) ** 2
        worst = max(worst, abs(float((program.target - program.W).square().sum()) / row["distance"] ** 2 - told))
    return at_most(worst, 1e-12)


def most_of_the_loss_goes_first() -> Check:
    """At the end of phase I the loss is below a quarter of its start, the distance above half of its own: the ratio.

    Source: measured here for 3 teachers: the largest loss by its start
    """
    found = []
    for seed in range(3):
        rows = _course(seed)[1]
        at = rows[settled(rows) - 1]
        found.append(at["loss"] / rows[0]["loss"] if at["distance"] > rows[0]["distance"] / 2 else 1.0)
    return at_most(max(found), 0.25)


CARD = Card(
    name="Two phases with an identity mapping",
    name_ja="恒等写像付きの層の二段階の学習",
    paper="Li, Yuan 2017, Convergence analysis of two-layer neural networks with ReLU activation, arXiv:1705.09886",
    equations=(
        r"f_W(x) = |s((I + W)^T x)|_1 = \sum_i s((e_i + w_i)^T x)",
        r"g = \sum_i (|e_i + w^*_i| - |e_i + w_i|)",
        r"\langle -\nabla L(W), W^* - W\rangle \geq \delta\,|W^* - W|^2",
    ),
    summary="A layer with a skip connection learns in two phases: its strength in all, and only then its directions.",
    summary_ja="恒等写像を足した層は、まず全体の強さを合わせ、その後で個々の方向を学ぶ。損失だけを見ていては分からない二段階。",
    topics=("theory.li-yuan",),
    facts=(
        the_loss_goes_to_zero,
        also_from_samples,
        the_potential_falls_first,
        then_every_step_goes_to_the_teacher,
        it_was_positive_all_the_way,
        a_step_shortens_the_distance_by_delta,
        most_of_the_loss_goes_first,
    ),
    notes=("The slide leaves out the identity mapping and the unit output weights; the theorem is about that network.",
           "One-point convexity is not convexity: it holds on the way to W*, not between any two points."),
    notes_ja=("スライドは恒等写像と、出力の重みがすべて 1 であることを省いている。定理はそのネットワークのもの。",
              "一点凸性は凸性ではない。W* へ向かう道で成り立つもので、任意の二点の間ではない。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A teacher near the identity, and a student that starts there."""

    dimensions: int = 10
    """dimension d, and units"""
    norm: float = 0.3
    """spectral norm of W*"""
    lr: float = 0.1
    """step size eta"""
    batch_size: int = 0
    """new samples in each step; 0: the exact gradient"""
    steps: int = 400
    """steps"""
    seed: int = 0
    """of the teacher and the samples"""


VARIANTS = {
    "smoke": Setup(steps=60),
    "default": Setup(),
    "sampled": Setup(batch_size=100),
    "far": Setup(norm=0.9),
}


def build(setup: Setup, place: Place = Place()) -> Residual:  # noqa: B008 - a frozen value
    """The descent, in float64 on the CPU."""
    in_range(setup, ("dimensions", "norm", "lr", "steps"))
    return Residual(setup)
