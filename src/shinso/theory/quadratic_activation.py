r"""A layer of squares has no bad minima, if both signs are there (Soltanolkotabi, Javanmard, Lee 2017).

    f(x) = sum_j v_j (w_j x)^2 = x^T B x,   B = sum_j v_j w_j w_j^T                                 (1)
    L(W) = 1/(2n) sum_i (f(x_i) - y_i)^2                                                            (2)

with fixed signs v_j. L is convex in B, not in W. With R = 1/n sum_i (f(x_i) - y_i) x_i x_i^T the gradient is

    dL/dw_j = 2 v_j R w_j                                                                           (3)

and when one unit of each sign is idle, second derivatives of a minimum force v_j R >= 0 for both signs, so R = 0: then
B, and W with it, is a global minimum, whatever the data. At least d units of each sign make room for every B. So

    min_W L = min over symmetric B of 1/(2n) sum_i (x_i^T B x_i - y_i)^2                            (4)

which is linear least squares with d (d + 1) / 2 unknowns; up to so many examples in general position are fitted.

The surprise: random labels, random starts, and descent goes to zero every time; take the minus signs away and it never
does, since then f cannot be negative, and R >= 0 is all that a minimum needs.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREY, ORANGE, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


def answers(W: Tensor, v: Tensor, X: Tensor) -> Tensor:
    """f(x_i) for W (..., k, d), v (k,), X (n, d): (..., n)."""
    return (v[:, None] * (W @ X.T).square()).sum(-2)  # (1)


def residual(W: Tensor, v: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """R, (..., d, d)."""
    wrong = answers(W, v, X) - y
    return (X.T * wrong[..., None, :]) @ X / len(X)


def slope(W: Tensor, v: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """The gradient of (2), (..., k, d)."""
    return 2 * v[:, None] * (W @ residual(W, v, X, y))  # (3)


def least(X: Tensor, y: Tensor) -> float:
    """The right side of (4), by least squares."""
    rows, columns = torch.triu_indices(X.shape[1], X.shape[1])
    features = X[:, rows] * X[:, columns]
    B = torch.linalg.lstsq(features, y[:, None], driver="gelsd").solution
    return float((features @ B - y[:, None]).square().sum()) / (2 * len(X))  # (4)


@final
class Squares:
    """Descent with momentum on (2) from many starts at once."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        draw = generator(setup.seed, "examples")
        X = torch.randn(setup.examples, setup.dimensions, generator=draw, dtype=torch.float64)
        self.X = X / X.norm(dim=1, keepdim=True)
        self.y = torch.randn(setup.examples, generator=draw, dtype=torch.float64)
        self.v = torch.ones(setup.units, dtype=torch.float64)
        self.v[setup.positive :] = -1
        self.W = setup.scale * torch.randn(setup.starts, setup.units, setup.dimensions, dtype=torch.float64,
                                           generator=generator(setup.seed, "starts"))
        self.way = torch.zeros_like(self.W)
        self.seen: list[list[float]] = []

    def losses(self) -> Tensor:
        """(2), one for each start."""
        return (answers(self.W, self.v, self.X) - self.y).square().sum(-1) / (2 * len(self.X))

    def step(self, i: int) -> Record:
        for _ in range(self.setup.inner):
            self.way = self.setup.momentum * self.way - self.setup.lr * slope(self.W, self.v, self.X, self.y)
            self.W = self.W + self.way
        losses = self.losses()
        self.seen.append(losses.tolist())
        return {"loss_best": losses.min(), "loss_worst": losses.max(), "optimum": least(self.X, self.y),
                "residual": torch.linalg.matrix_norm(residual(self.W, self.v, self.X, self.y), 2).max()}

    def state(self) -> dict[str, Any]:
        return {"W": self.W, "way": self.way, "seen": [list(row) for row in self.seen]}

    def restore(self, state: dict[str, Any]) -> None:
        self.W, self.way = state["W"].clone(), state["way"].clone()
        self.seen = [list(row) for row in state["seen"]]

    def pictures(self) -> dict[str, np.ndarray]:
        """Losses with the signs of the setup and with plus signs alone; the answers of both beside the labels."""
        if not self.seen:
            return {}
        plus = Squares(replace(self.setup, positive=self.setup.units, steps=len(self.seen)))
        for i in range(plus.total):
            plus.step(i)
        figure = sheet(900, 390)
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
        steps = self.setup.inner * np.arange(1, len(self.seen) + 1)
        both = f"+ {self.setup.positive}, − {self.setup.units - self.setup.positive}"
        for program, colour, name in ((self, BLUE, both), (plus, ORANGE, f"+ {plus.setup.positive}, − 0")):
            lines = left.semilogy(steps, np.maximum(program.seen, 1e-16), color=colour, linewidth=1, alpha=0.6)
            lines[0].set_label(name)
            fit = answers(program.W, program.v, program.X)[0].numpy()
            right.plot(program.y.numpy(), fit, "o", color=colour, markersize=6, label=name)
        quiet(left, "Loss from every start / 各初期値からの損失", "step / ステップ", "loss / 損失")
        left.legend(title="signs v / 符号", fontsize=9, loc="lower left")
        ends = [float(self.y.min()), float(self.y.max())]
        right.plot(ends, ends, color=GREY, linewidth=1)
        quiet(right, "Answers beside labels / 答えとラベル", "label y / ラベル", "answer f(x) / 答え")
        return {"quadratic_signs": pixels(figure)}


@cache
def _end(positive: int, examples: int = 12) -> Squares:
    program = Squares(replace(Setup(), positive=positive, examples=examples, steps=1, inner=800))
    program.step(0)
    return program


def random_labels_are_fitted_from_every_start() -> Check:
    """With d = 5, 5 units of each sign and 12 random labels, all 20 random starts end with a loss below 1e-8.

    Source: Soltanolkotabi, Javanmard, Lee 2017, theorem 2.1
    """
    return at_most(float(_end(5).losses().max()), 1e-8)


def with_more_labels_they_reach_least_squares() -> Check:
    """With 30 examples, more than the 15 unknowns of (4), all 20 starts end within 1e-9 of the least squares optimum.

    Source: equation (4); the theorem holds for any data
    """
    program = _end(5, 30)
    best = least(program.X, program.y)
    return at_most(float((program.losses() - best).abs().max()) if best > 0.01 else 1.0, 1e-9)


def with_plus_signs_alone_none_succeeds() -> Check:
    """With 10 plus signs all 20 starts stay at or above 1/(2n) sum min(y, 0)^2: the least loss over it is at least 1.

    Source: equation (1): f >= 0. Signs matter
    """
    program = _end(10)
    floor = float(program.y.clamp(max=0).square().sum()) / (2 * len(program.y))
    return at_least(float(program.losses().min()) / floor if floor > 0.01 else 0.0, 1.0)


def a_minimum_with_plus_signs_needs_only_one_side() -> Check:
    """There R has no eigenvalue below -1e-6, yet one above 1e-2: a minimum of plus signs, of no use to a minus sign.

    Source: equation (3) and the second derivatives; these are the conditions of the convex problem over B >= 0
    """
    program = _end(10)
    values = torch.linalg.eigvalsh(residual(program.W, program.v, program.X, program.y))
    return at_least(float(values[:, 0].min()) if float(values[:, -1].min()) > 1e-2 else -1.0, -1e-6)


def with_both_signs_nothing_is_left() -> Check:
    """With both signs the largest singular value of R at the 20 ends is below 1e-6.

    Source: Soltanolkotabi, Javanmard, Lee 2017, section 6: R >= 0 and -R >= 0
    """
    program = _end(5)
    R = residual(program.W, program.v, program.X, program.y)
    return at_most(float(torch.linalg.matrix_norm(R, 2).max()), 1e-6)


def zero_is_a_strict_saddle() -> Check:
    """At W = 0 the least eigenvalue of the Hessian over twice the norm of 1/n sum y_i x_i x_i^T is -1, to 1e-12.

    Source: the derivative of (3) at 0, with both signs
    """
    program = _end(5)
    zero = torch.zeros(10, 5, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(
        lambda w: (answers(w.view(10, 5), program.v, program.X) - program.y).square().sum() / 24, zero.flatten())
    found = torch.linalg.eigvalsh(hessian)[0]  # pyright: ignore[reportArgumentType]
    return about(float(found / (2 * torch.linalg.matrix_norm(residual(zero, program.v, program.X, program.y), 2))),
                 -1.0, 1e-12)


CARD = Card(
    name="A layer of squares",
    name_ja="二乗活性化の層",
    paper="Soltanolkotabi, Javanmard, Lee 2017, Theoretical insights into the optimization landscape of "
          "over-parameterized shallow neural networks, arXiv:1707.04926",
    equations=(
        r"f(x) = \sum_j v_j (w_j^T x)^2 = x^T B x,\quad B = \sum_j v_j w_j w_j^T",
        r"L(W) = \frac{1}{2n}\sum_i (f(x_i) - y_i)^2",
        r"\partial L / \partial w_j = 2 v_j R w_j,\quad R = \frac{1}{n}\sum_i (f(x_i) - y_i)\,x_i x_i^T",
        r"\min_W L = \min_{B = B^T} \frac{1}{2n}\sum_i (x_i^T B x_i - y_i)^2",
    ),
    summary="Units that square, with both signs: every start ends at the optimum of a linear problem; one sign: none.",
    summary_ja="二乗するユニットは、正負の符号があればどこから始めても線形問題の最適値に着く。正だけなら一度も着かない。",
    topics=("theory.quadratic-activation",),
    facts=(
        random_labels_are_fitted_from_every_start,
        with_more_labels_they_reach_least_squares,
        with_plus_signs_alone_none_succeeds,
        a_minimum_with_plus_signs_needs_only_one_side,
        with_both_signs_nothing_is_left,
        zero_is_a_strict_saddle,
    ),
    notes=("The signs of v matter: the theorem asks for at least d units of each sign.",),
    notes_ja=("v の符号が大切。定理は正負それぞれ少なくとも d 個のユニットを求める。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Random unit inputs with random labels."""

    dimensions: int = 5
    """dimension d of the inputs"""
    units: int = 10
    """units k"""
    positive: int = 5
    """units with v = +1; the others have -1"""
    examples: int = 12
    """examples n with random labels"""
    starts: int = 20
    """random starts, all at once"""
    scale: float = 0.1
    """size of the initial weights"""
    lr: float = 0.3
    """step size"""
    momentum: float = 0.9
    """share of the last step that is added"""
    steps: int = 60
    """recorded steps"""
    inner: int = 10
    """steps of descent in each"""
    seed: int = 0
    """of the examples and the starts"""


VARIANTS = {
    "smoke": Setup(steps=40, inner=3),
    "default": Setup(),
    "many-labels": Setup(examples=30),
    "plus-only": Setup(positive=10),
}


def build(setup: Setup, place: Place = Place()) -> Squares:  # noqa: B008 - a frozen value
    """The descents, in float64 on the CPU."""
    in_range(setup, ("dimensions", "units", "examples", "starts", "scale", "lr", "steps", "inner"), ("momentum",))
    if setup.positive > setup.units:
        raise UserError("positive", f"{setup.positive} of {setup.units} units", "give at most the number of units")
    return Squares(setup)
