r"""Learning one ReLU from fewer examples than weights (Soltanolkotabi 2017).

    y_i = s(w* x_i),   s(u) = max(u, 0),   x_i ~ N(0, I) in p dimensions,   i = 1 .. n < p           (1)

has more unknowns than examples, but w* has only k entries that are not zero. Projected descent on the squared error,

    w <- H_k(w - 2 eta / n sum_i (s(w x_i) - y_i) s'(w x_i) x_i)                                    (2)

(H_k keeps the k largest entries), goes straight to w* once n is a few times k log(p / k): the error falls as

    |w_t - w*| <= rho^t |w*|,   rho < 1                                                             (3)

The first step is made from w = 0, where everything hangs on a convention: with s'(0) = 1/2 it is, on average, eta w*/2;
with s'(0) = 0, which frameworks take, it is nothing, and so are all that follow.

The surprise: the number of examples counts the entries that matter, not the dimension; and a convention that nobody
looks at decides between convergence and silence.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


def keep(w: Tensor, number: int) -> Tensor:
    """H_k: the `number` entries of largest size, zero elsewhere; all of them where `number` is 0."""
    if number == 0:
        return w
    kept = torch.zeros_like(w)
    largest = w.abs().topk(number).indices
    kept[largest] = w[largest]
    return kept


def slope(w: Tensor, X: Tensor, y: Tensor, at_zero: float) -> Tensor:
    """2/n sum_i (s(w x_i) - y_i) s'(w x_i) x_i with s'(0) = `at_zero`."""
    z = X @ w
    active = (z > 0).to(X) + at_zero * (z == 0).to(X)
    return 2 * X.T @ ((z.clamp(min=0) - y) * active) / len(X)


@final
class Recovery:
    """Steps of (2) from w = 0."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        draw = generator(setup.seed, "weights")
        places = torch.randperm(setup.dimensions, generator=draw)[: setup.nonzero]
        self.target = torch.zeros(setup.dimensions, dtype=torch.float64)
        self.target[places] = torch.randn(setup.nonzero, generator=draw, dtype=torch.float64)
        self.target /= self.target.norm()
        self.X = torch.randn(setup.examples, setup.dimensions, generator=generator(setup.seed, "examples"),
                             dtype=torch.float64)
        self.y = (self.X @ self.target).clamp(min=0)
        self.w = torch.zeros_like(self.target)
        self.seen: list[float] = []

    def step(self, i: int) -> Record:
        moved = self.w - self.setup.lr * slope(self.w, self.X, self.y, self.setup.at_zero)
        self.w = keep(moved, self.setup.kept)  # (2)
        wrong = (self.X @ self.w).clamp(min=0) - self.y
        self.seen.append(float((self.w - self.target).norm()))
        return {"loss": wrong.square().mean(), "error": self.seen[-1],
                "right_places": ((self.w != 0) & (self.target != 0)).sum()}

    def state(self) -> dict[str, Any]:
        return {"w": self.w, "seen": list(self.seen)}

    def restore(self, state: dict[str, Any]) -> None:
        self.w, self.seen = state["w"].clone(), list(state["seen"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The error of three ways by step; the weights found and the true ones."""
        figure = sheet(900, 380)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.2])
        steps = max(len(self.seen), 1)
        ways = (("H, s'(0) = 1/2", replace(self.setup, kept=self.setup.nonzero, at_zero=0.5), BLUE),
                ("all weights / 全部の重み", replace(self.setup, kept=0, at_zero=0.5, lr=0.1), ORANGE),
                ("H, s'(0) = 0", replace(self.setup, kept=self.setup.nonzero, at_zero=0.0), RED))
        found = {}
        for name, setup, colour in ways:
            program = found[colour] = Recovery(setup)
            for i in range(steps):
                program.step(i)
            left.semilogy(range(1, steps + 1), np.maximum(program.seen, 1e-16), color=colour, label=name)
        quiet(left, "Error |w − w*| / 誤差", "step t / ステップ").legend(fontsize=9, loc="lower left")
        right.plot(found[ORANGE].w.numpy(), ".", color=ORANGE, markersize=3, label="all weights / 全部の重み")
        there = self.target.nonzero()[:, 0].numpy()
        right.plot(there, self.target[there].numpy(), "o", markersize=10, markerfacecolor="none", color=GREY,
                   label="true / 真の重み")
        right.plot(there, found[BLUE].w[there].numpy(), "o", markersize=4, color=BLUE, label="found with H / 復元")
        n, p = self.X.shape
        quiet(right, f"{n} examples, {p} weights / 例 {n}、重み {p}", "entry / 成分")
        right.legend(fontsize=9, loc="upper right")
        return {"relu_recovery": pixels(figure)}


@cache
def _course(seed: int = 0, kept: int = 5, at_zero: float = 0.5, examples: int = 120) -> Recovery:
    setup = replace(Setup(), seed=seed, kept=kept, at_zero=at_zero, examples=examples)
    program = Recovery(setup if kept else replace(setup, lr=0.1))
    for i in range(program.total):
        program.step(i)
    return program


def it_finds_the_weights() -> Check:
    """With 200 weights, 5 of them not zero, and 120 examples the error after 100 steps is below 1e-6, for 5 draws of 5.

    Source: Soltanolkotabi 2017, theorem 3.1
    """
    return at_most(max(_course(seed).seen[-1] for seed in range(5)), 1e-6)


def in_a_straight_line() -> Check:
    """Down to 1e-12 the logarithm of the error is a straight line in t with R2 above 0.98: the least of 5 draws.

    Source: equation (3)
    """
    least = 1.0
    for seed in range(5):
        found = np.array([np.log(error) for error in _course(seed).seen if error > 1e-12])
        steps = np.arange(len(found))
        left = found - np.polyval(np.polyfit(steps, found, 1), steps)
        least = min(least, float(1 - left.var() / found.var()))
    return at_least(least, 0.98)


def with_the_other_convention_nothing_moves() -> Check:
    """With s'(0) = 0 the error after 100 steps is exactly that of w = 0.

    Source: equation (2) at w = 0
    """
    program = _course(0, 5, 0.0)
    return exactly(program.seen[-1] - float(program.target.norm()), 0.0)


def the_first_step_points_at_the_answer() -> Check:
    """Over 200,000 examples in 10 dimensions the first step is eta w*/2 within 4 standard errors in each entry.

    Source: E s(w* x) x = w*/2
    """
    program = Recovery(replace(Setup(), dimensions=10, nonzero=3, kept=0, examples=200_000))
    each = program.X * program.y[:, None]
    step = -slope(program.w, program.X, program.y, 0.5)  # eta = 1
    return at_most(float(((step - program.target / 2) / (each.std(0) / len(each) ** 0.5)).abs().max()), 4.0)


def without_the_projection_it_fails() -> Check:
    """Without H_k, with eta = 0.1 so that it settles, the error after 100 steps is above 0.3.

    Source: n < p: equation (1) has many solutions
    """
    return at_least(_course(0, 0).seen[-1], 0.3)


def too_few_examples_fail() -> Check:
    """With 15 examples, fewer than k log(p / k) = 18.4, none of 5 draws comes below 0.1: the least error.

    Source: Soltanolkotabi 2017, on the number of examples
    """
    return at_least(min(_course(seed, 5, 0.5, 15).seen[-1] for seed in range(5)), 0.1)


def the_derivative_at_zero_of_frameworks() -> Check:
    """torch's derivative of max(u, 0) at 0, by which nothing would move, is 0.

    Source: torch.relu
    """
    u = torch.zeros(1, requires_grad=True)
    torch.relu(u).sum().backward()
    return about(float(u.grad if u.grad is not None else -1.0), 0.0, 0.0)


CARD = Card(
    name="Learning a ReLU from few examples",
    name_ja="少ない例からReLUを学ぶ",
    paper="Soltanolkotabi 2017, Learning ReLUs via gradient descent, arXiv:1705.04591",
    equations=(
        r"y_i = s({w^*}^T x_i),\quad s(u) = \max(u, 0)",
        r"w \leftarrow H_k\left(w - \frac{2\eta}{n}\sum_i (s(w^T x_i) - y_i)\,s'(w^T x_i)\,x_i\right)",
        r"|w_t - w^*| \leq \rho^t\,|w^*|,\quad \rho < 1",
    ),
    summary="200 weights from 120 examples: descent with hard thresholding finds a sparse ReLU unit at a linear rate.",
    summary_ja="120個の例から200個の重み。しきい値を付けた降下法は、スパースなReLUユニットを一次収束で復元する。",
    topics=("theory.soltanolkotabi-relu",),
    facts=(
        it_finds_the_weights,
        in_a_straight_line,
        with_the_other_convention_nothing_moves,
        the_first_step_points_at_the_answer,
        without_the_projection_it_fails,
        too_few_examples_fail,
        the_derivative_at_zero_of_frameworks,
    ),
    notes=("One slide says 'over-complete: wider than samples'. The paper has one single unit; what exceeds the number "
           "of examples is the dimension of its input.",
           "s'(0) = 0, as frameworks have it, kills the first step from w = 0.",
           "At this size success is likely, not certain: with eta = 0.7 all of 20 draws succeeded, with eta = 1 two "
           "of 20 ended elsewhere."),
    notes_ja=("スライドは「過完備 (横幅 > サンプルサイズ)」と書くが、論文のユニットは一つだけ。"
              "例の数を超えるのは入力の次元である。",
              "フレームワークの約束 s'(0) = 0 では、w = 0 からの最初の一歩が零になる。",
              "この大きさでは成功は確実ではない。"
              "eta = 0.7 では 20 回すべて成功し、eta = 1 では 20 回中 2 回が別の所に着いた。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One sparse unit and few examples."""

    dimensions: int = 200
    """dimension p of the inputs"""
    nonzero: int = 5
    """entries of w* that are not zero"""
    examples: int = 120
    """examples n"""
    kept: int = 5
    """entries k that H_k keeps; 0: all"""
    at_zero: float = 0.5
    """the derivative s'(0)"""
    lr: float = 0.7
    """step size eta"""
    steps: int = 100
    """steps"""
    seed: int = 0
    """of w* and the examples"""


VARIANTS = {
    "smoke": Setup(dimensions=60, nonzero=3, kept=3, examples=50, steps=40),
    "default": Setup(),
    "all-weights": Setup(kept=0, lr=0.1, steps=200),
    "silent": Setup(at_zero=0.0),
}


def build(setup: Setup, place: Place = Place()) -> Recovery:  # noqa: B008 - a frozen value
    """The descent, in float64 on the CPU."""
    in_range(setup, ("dimensions", "nonzero", "examples", "lr", "steps"), ("at_zero",))
    if max(setup.nonzero, setup.kept) > setup.dimensions:
        raise UserError("dimensions", f"{setup.dimensions} are fewer than nonzero or kept entries", "give more")
    return Recovery(setup)
