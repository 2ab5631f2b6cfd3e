r"""Linear regression: the same straight answer by descent and in closed form.

Five fields, each with temperature, rainfall and humidity, and the apples it bore. With a constant input behind the
features, X (n, d + 1), the error and its gradient are

    J(w) = 1/n |X w - y|^2,   grad J = 2/n X^T (X w - y)                       (1)

J is a bowl of curvature H = 2/n X^T X, so least squares has its answer in one line, and descent from w_0 with rate a
is known at every step:

    w* = (X^T X)^-1 X^T y                                                      (2)
    w_t - w* = (I - a H)^t (w_0 - w*),   it converges iff a < 2 / lambda_max(H)   (3)

Each eigenvector of H is a direction with a speed of its own. The surprise: temperatures near 80 beside a constant 1
make a bowl two million times steeper one way than another, so that with the raw features the constant b hardly leaves
its first value however long one waits. Features with mean 0 and variance 1 make the bowl nearly round.

A model that is linear in its parameters needs no linear features: f(x) = a x^2 + b x + c is (1) with X = (x^2, x, 1),
and three distinct points fix a, b, c exactly (`quadratic`).

    [x_i^2, x_i, 1] (a, b, c)^T = y_i,  i = 1, 2, 3                            (4)

Legendre 1805; Gauss 1809; the fruit table is that of the course's exercise 4.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, final

import numpy as np
import torch

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range

FRUIT = np.array([[73.0, 67, 43, 56], [91, 88, 64, 81], [87, 134, 58, 119], [102, 43, 37, 22], [69, 96, 70, 103]])
"""temperature, rainfall, humidity, apples"""
ASKED = np.array([80.0, 80.0, 80.0])
"""the field of which the exercise asks the apples"""
FAR = 1e9
"""weights further than this from the answer have diverged; they are left there"""


def with_one(x: np.ndarray) -> np.ndarray:
    """Features x (n, d) with a column of ones behind them, (n, d + 1)."""
    return np.hstack([x, np.ones((len(x), 1))])


def error(X: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    """J(w)."""
    return float(((X @ w - y) ** 2).mean())  # (1)


def gradient(X: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """grad J(w)."""
    return 2 / len(y) * X.T @ (X @ w - y)  # (1)


def curvature(X: np.ndarray) -> np.ndarray:
    """H, the second derivative of J."""
    return 2 / len(X) * X.T @ X


def least_squares(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """w*, by a QR decomposition: the same answer as the normal equations without squaring the condition number."""
    q, r = np.linalg.qr(X)
    return np.linalg.solve(r, q.T @ y)  # (2)


def largest_rate(X: np.ndarray) -> float:
    """2 / lambda_max(H)."""
    return 2 / float(np.linalg.eigvalsh(curvature(X))[-1])  # (3)


def standardised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of mean 0 and variance 1, and the mean and deviation that were taken out."""
    mean, deviation = x.mean(0), x.std(0)
    return (x - mean) / deviation, mean, deviation


def raw_weights(w: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Weights of standardised features as weights of the features themselves."""
    slopes = w[:-1] / deviation
    return np.append(slopes, w[-1] - slopes @ mean)


def descend(X: np.ndarray, y: np.ndarray, w: np.ndarray, lr: float, steps: int) -> np.ndarray:
    """The weights after some steps downhill."""
    for _ in range(steps):
        w = w - lr * gradient(X, y, w)
    return w


@final
class Regression:
    """One step is one step downhill on all rows."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        x, self.y = _table(setup)
        self.mean, self.deviation = np.zeros(x.shape[1]), np.ones(x.shape[1])
        if setup.standardise:
            x, self.mean, self.deviation = standardised(x)
        self.X = with_one(x)
        self.edge = largest_rate(self.X)
        self.lr = setup.lr if setup.lr is not None else 0.9 * self.edge
        self.best = least_squares(self.X, self.y)
        self.least = error(self.X, self.y, self.best)
        first = torch.randn(self.X.shape[1], generator=generator(setup.seed, "weights"), dtype=torch.float64)
        self.start = self.w = first.numpy()
        self.moves = 0
        self.speeds, self.directions = np.linalg.eigh(curvature(self.X))

    def step(self, i: int) -> Record:
        if np.linalg.norm(self.w - self.best) <= FAR:
            self.w, self.moves = self.w - self.lr * gradient(self.X, self.y, self.w), self.moves + 1
        loss = error(self.X, self.y, self.w)
        distance, predicted = float(np.linalg.norm(self.w - self.best)), self._foreseen()
        largest = max(distance, float(np.linalg.norm(self.start - self.best)))
        weights = raw_weights(self.w, self.mean, self.deviation)
        names = ("a", "b", "c") if self.setup.problem == "quadratic" else ("w1", "w2", "w3", "b")
        record = {"loss": loss, "gap": max(loss - self.least, 0.0),  # below it is only rounding
                  **dict(zip(names, weights.tolist(), strict=True)),
                  "measured": distance, "predicted": predicted, "within": 1e-10 * (1 + i) * largest}
        if self.setup.problem == "fruit":
            record["asked_field"] = float(weights @ np.append(ASKED, 1))
        return record

    def _foreseen(self) -> float:
        """|w_t - w*| from the start alone."""
        parts = self.directions.T @ (self.start - self.best)
        return float(np.linalg.norm((1 - self.lr * self.speeds) ** self.moves * parts))  # (3)

    def state(self) -> dict[str, Any]:
        return {"w": self.w, "moves": self.moves}

    def restore(self, state: dict[str, Any]) -> None:
        self.w, self.moves = np.array(state["w"]), int(state["moves"])

    def pictures(self) -> dict[str, np.ndarray]:
        """What the model says beside the truth, and how much of each direction's way is left."""
        fit = _curve if self.setup.problem == "quadratic" else _bars
        return {"fit": fit(self), "directions": _directions(self)}


def _table(setup: "Setup") -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) and targets (n,)."""
    if setup.problem == "fruit":
        return FRUIT[:, :3], FRUIT[:, 3]
    draw = torch.rand(2, 3, generator=generator(setup.seed, "points"), dtype=torch.float64).numpy()
    x = np.array([-1.0, 0.0, 1.0]) + 0.3 * (draw[0] - 0.5)
    return np.stack([x**2, x], 1), 4 * draw[1] - 2


def _bars(program: Regression) -> np.ndarray:
    figure = sheet(800, 380)
    axes = figure.subplots()
    rows = np.arange(len(program.y))
    for shift, values, colour, name in (
        (-0.27, program.y, GREY, "true / 実際"),
        (0.0, program.X @ program.w, BLUE, f"descent, {program.moves} steps / 勾配法"),
        (0.27, program.X @ program.best, GREEN, "closed form / 閉じた式 (2)"),
    ):
        axes.bar(rows + shift, values, 0.25, color=colour, label=name)
    axes.set_xticks(rows, [" ".join(f"{v:g}" for v in row[:3]) for row in FRUIT])
    axes.set_ylim(0, 165)
    now = error(program.X, program.y, program.w)
    title = f"apples / りんごの収量   J = {now:.4g}  (least / 最小 {program.least:.4g})"
    quiet(axes, title, "temperature, rainfall, humidity / 気温・降水量・湿度").legend(frameon=False, ncols=3)
    return pixels(figure)


def _curve(program: Regression) -> np.ndarray:
    figure = sheet(800, 380)
    axes = figure.subplots()
    x = np.linspace(-1.6, 1.6, 200)
    for w, colour, name in ((program.w, BLUE, f"descent, {program.moves} steps / 勾配法"),
                            (program.best, GREEN, "through three points / 三点を通る (4)")):
        a, b, c = raw_weights(w, program.mean, program.deviation)
        axes.plot(x, a * x**2 + b * x + c, color=colour, label=f"{name}:  {a:.3g} x² {b:+.3g} x {c:+.3g}",
                  linestyle="-" if colour == BLUE else "--")
    axes.plot(program.X[:, 1] * program.deviation[1] + program.mean[1], program.y, "o", color=RED, markersize=9)
    quiet(axes, "a x² + b x + c", "x", "y").legend(frameon=False)
    return pixels(figure)


def _directions(program: Regression) -> np.ndarray:
    """|1 - a lambda|^t for every eigenvector of H: what is left of the way to the answer."""
    figure = sheet(800, 380)
    axes = figure.subplots()
    t = np.unique(np.geomspace(1, max(program.total, 2), 60).astype(int))
    left = np.abs(1 - program.lr * program.speeds)
    for speed, share, colour in zip(program.speeds[::-1], left[::-1], (RED, ORANGE, GREEN, BLUE), strict=False):
        log_left = np.clip(t * np.log10(max(share, 1e-300)), -12, 3)
        axes.plot(t, 10.0**log_left, color=colour, label=f"λ = {speed:.4g}")
    if program.moves:
        parts = np.abs(program.directions.T @ (program.w - program.best))
        first = np.abs(program.directions.T @ (program.start - program.best))
        axes.plot([program.moves] * len(parts), np.clip(parts / first, 1e-12, 1e3), "o", color="black",
                  label="measured / 測定")
    axes.set(xscale="log", yscale="log")
    condition = program.speeds[-1] / program.speeds[0]
    numbers = f"a = {program.lr:.3g},  2/λmax = {program.edge:.3g},  condition / 条件数 {condition:.3g}"
    quiet(axes, "share of the way that is left, (3) / 答えまでの残りの割合", f"step / ステップ      {numbers}")
    axes.legend(frameon=False)
    return pixels(figure)


@cache
def _fruit() -> tuple[np.ndarray, np.ndarray]:
    return with_one(FRUIT[:, :3]), FRUIT[:, 3]


def least_squares_of_the_fruit() -> Check:
    """Closed form: w = (-0.38757424, 0.84775684, 0.69817818), b = -1.637613, error 0.96151879: the largest difference.

    Source: course exercise 4, solved
    """
    X, y = _fruit()
    w = least_squares(X, y)
    found = np.append(w, error(X, y, w))
    return at_most(float(np.abs(found - [-0.38757424, 0.84775684, 0.69817818, -1.637613, 0.96151879]).max()), 5e-7)


def the_asked_field_bears_91() -> Check:
    """At 80, 80, 80 the closed form answers 91.03124971, to 1e-7.

    Source: course exercise 4-4
    """
    X, y = _fruit()
    return about(float(least_squares(X, y) @ np.append(ASKED, 1)), 91.03124971, 1e-7)


def the_gradient_is_that_of_differences() -> Check:
    """(1) agrees with central differences of J, relative to its size, at 20 random weights.

    Source: equation (1)
    """
    X, y = _fruit()
    worst = 0.0
    for w in torch.randn(20, 4, generator=generator(0, "places"), dtype=torch.float64).numpy():
        numeric = [(error(X, y, w + h) - error(X, y, w - h)) / 2e-3 for h in 1e-3 * np.eye(4)]
        worst = max(worst, float(np.abs(gradient(X, y, w) - numeric).max() / np.abs(gradient(X, y, w)).max()))
    return at_most(worst, 1e-8)


def the_edge_of_the_fruit() -> Check:
    """Halving an interval finds the rate from which descent diverges: 5.5836405e-5, to 1e-11.

    Source: equation (3), 2 / lambda_max(H)
    """
    H = curvature(_fruit()[0])
    low, high = 1e-6, 1e-3
    for _ in range(40):
        middle = 0.5 * (low + high)
        slope, grown = np.ones(4), 0.0
        for _ in range(300):  # the slope of J itself goes the way of (3); scaled back, it cannot overflow
            ahead = slope - middle * H @ slope
            grown = float(np.linalg.norm(H @ ahead) / np.linalg.norm(H @ slope))
            slope = ahead / np.linalg.norm(ahead)
        low, high = (middle, high) if grown < 1 else (low, middle)
    return about(0.5 * (low + high), 5.5836405e-5, 1e-11)


def the_bowl_is_two_million_times_longer_than_wide() -> Check:
    """The condition number of H is 2.19e6 with the raw features, to 0.005e6.

    Source: course exercise 4
    """
    return about(float(np.linalg.cond(curvature(_fruit()[0]))), 2.19e6, 5e3)


def the_constant_hardly_moves() -> Check:
    """After 10,000 raw steps at 90 % of the edge more than 95 % of the way to b is still left.

    Source: equation (3) with the smallest eigenvalue
    """
    X, y = _fruit()
    best = least_squares(X, y)
    w = descend(X, y, np.zeros(4), 0.9 * largest_rate(X), 10_000)
    return at_least(float(abs(w[3] - best[3]) / abs(best[3])), 0.95)


def standardising_makes_it_round() -> Check:
    """With standardised features 500 steps reach every weight of the closed form, in raw units, to 1e-7.

    Source: equation (3) with all eigenvalues of one size
    """
    x, mean, deviation = standardised(FRUIT[:, :3])
    X = with_one(x)
    w = descend(X, FRUIT[:, 3], np.zeros(4), 0.9 * largest_rate(X), 500)
    return at_most(float(np.abs(raw_weights(w, mean, deviation) - least_squares(*_fruit())).max()), 1e-7)


def ten_steps_are_not_a_hundred() -> Check:
    """With the notebook's rate 1e-5 the error after its 10 steps is at least 1.5 times that after the promised 100.

    Source: the notebook's text says 100 loops, its code runs 10
    """
    X, y = _fruit()
    ten, hundred = (error(X, y, descend(X, y, np.zeros(4), 1e-5, steps)) for steps in (10, 100))
    return at_least(ten / hundred, 1.5)


def three_points_fix_a_quadratic() -> Check:
    """For 200 random triples of distinct points (4) gives back the a, b, c that made them, to 1e-12.

    Source: Vandermonde; the determinant is a product of differences
    """
    draw = torch.rand(200, 6, generator=generator(0, "triples"), dtype=torch.float64).numpy()
    worst = 0.0
    for row in draw:
        x, truth = np.array([-1.0, 0.0, 1.0]) + 0.5 * (row[:3] - 0.5), 4 * row[3:] - 2
        worst = max(worst, float(np.abs(least_squares(np.vander(x, 3), np.vander(x, 3) @ truth) - truth).max()))
    return at_most(worst, 1e-12)


def descent_finds_the_quadratic() -> Check:
    """Descent from random weights comes to the same a, b, c: the largest difference after 1,000 steps.

    Source: equation (3), the parametric model of the course
    """
    program = Regression(VARIANTS["quadratic"])
    for i in range(program.total):
        program.step(i)
    return at_most(float(np.abs(program.w - np.linalg.solve(program.X, program.y)).max()), 1e-10)


CARD = Card(
    name="Linear regression",
    name_ja="重線形回帰",
    paper="Legendre 1805; Gauss 1809, Theoria motus corporum coelestium",
    equations=(
        r"J(w) = \frac{1}{n}|Xw - y|^2,\quad \nabla J = \frac{2}{n}X^T(Xw - y)",
        r"w^* = (X^T X)^{-1} X^T y",
        r"w_t - w^* = (I - aH)^t (w_0 - w^*),\quad H = \frac{2}{n}X^T X",
        r"(x_i^2, x_i, 1)\,(a, b, c)^T = y_i",
    ),
    summary="Five fields of apples: one line of algebra knows the answer to which descent crawls, and how fast.",
    summary_ja="五つの畑のりんご。一行の式で求まる答えに、勾配法がどれほどの速さで近づくかも前もって分かる。",
    topics=("basics.exercise-4-regression", "basics.parametric-model"),
    facts=(
        least_squares_of_the_fruit,
        the_asked_field_bears_91,
        the_gradient_is_that_of_differences,
        the_edge_of_the_fruit,
        the_bowl_is_two_million_times_longer_than_wide,
        the_constant_hardly_moves,
        standardising_makes_it_round,
        ten_steps_are_not_a_hundred,
        three_points_fix_a_quadratic,
        descent_finds_the_quadratic,
    ),
    notes=("The notebook's text says 100 loops and its code runs 10; the errors of the two differ.",
           "Without scaling descent does not reach b in any reasonable number of steps: the exercise's answer for "
           "80, 80, 80 depends on when one stops, the closed form's does not."),
    notes_ja=("ノートブックの文章は100回の反復と言い、コードは10回である。二つの誤差は異なる。",
              "尺度をそろえない勾配法は、現実的な回数では b に届かない。"
              "80, 80, 80 への答えはいつ止めるかで変わるが、閉じた式なら変わらない。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Which table, and how one walks."""

    problem: Literal["fruit", "quadratic"] = "fruit"
    """fruit: apples of five fields; quadratic: a parabola through three drawn points"""
    standardise: bool = True
    """whether features get mean 0 and variance 1 before the descent"""
    lr: float | None = None
    """learning rate; none: 90 % of the largest one that converges"""
    steps: int = 500
    """number of steps"""
    seed: int = 0
    """of the first weights and of the drawn points"""


VARIANTS = {
    "smoke": Setup(steps=40),
    "default": Setup(),
    "raw": Setup(standardise=False, steps=10_000),
    "notebook": Setup(standardise=False, lr=1e-5, steps=100),
    "too-fast": Setup(standardise=False, lr=6e-5, steps=200),
    "quadratic": Setup(problem="quadratic", standardise=False, steps=1000),
}


def build(setup: Setup, place: Place = Place()) -> Regression:  # noqa: B008 - Place is frozen
    """Random weights before the first step; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("lr", "steps"))
    return Regression(setup)
