r"""Convex neural networks: a layer as a measure over units, grown one unit per step (Bach 2017).

    f(x) = int s(a (x - b)) dmu(a, b),   s(u) = max(u, 0),   a = +-1,   b in [-1, 1]                (1)
    J(f) = 1/(2n) sum_i (f(x_i) - y_i)^2  ->  min  over all measures of total variation |mu| <= R   (2)

is convex: the break points b are not moved, all of them are there, and only their weights are sought. Frank-Wolfe's
method asks an oracle for the one unit that the residual would have most, and mixes it in:

    (a, b) = argmax |sum_i (f_t(x_i) - y_i) s(a (x_i - b))|,
    f_{t+1} = (1 - g) f_t -+ g R s(a (x - b)),   g = 2 / (t + 2)                                    (3)

What the oracle maximises is linear in b between two data points, so the data points themselves are the only break
points to try: on a line the oracle is exact. With the curvature C = max |p - q|^2 / n over all p, q = +-R s(a (x - b)),

    J(f_t) - J* <= 2 C / (t + 2),   J(f_t) - J* <= max_{p} <f_t - p, f_t - y> / n                   (4)

The surprise: training a network of infinite width is a convex problem, after t steps the answer has at most t units,
and the second half of (4) says how far from the optimum one is without knowing it. In many dimensions the oracle
itself is as hard as any problem of a class for which no fast method is known.
"""

import warnings
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal, final

import numpy as np

from shinso.core.axes import BLUE, GREY, ORANGE, RED, SHADES, quiet
from shinso.core.card import Card, Check, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


def units(x: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """s(x - b) for every break point b (m,), then s(b - x): (n, 2 m)."""
    right = np.maximum(x[:, None] - breaks, 0)
    return np.concatenate([right, np.maximum(breaks - x[:, None], 0)], 1)


def curvature(atoms: np.ndarray, radius: float) -> float:
    """C: the largest |p - q|^2 / n over p, q in {+-R atom}, for atoms (n, m)."""
    gram = atoms.T @ atoms
    lengths = np.diag(gram)
    return float(radius**2 / len(atoms) * (lengths[:, None] + lengths + 2 * np.abs(gram)).max())


def optimum(atoms: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """The weights (m,) with sum |w| <= R of the least J, from the path of all lassos, which is linear in pieces."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lars_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # where next to nothing is left, far behind R
        _, _, path = lars_path(atoms, y, method="lasso", return_path=True)
    norms = np.abs(path).sum(0)
    after = int(np.searchsorted(norms, radius))
    if after == len(norms):
        return path[:, -1]
    share = (radius - norms[after - 1]) / (norms[after] - norms[after - 1]) if after else 0.0
    return (1 - share) * path[:, max(after - 1, 0)] + share * path[:, after]


@final
class FrankWolfe:
    """One step asks the oracle once and adds at most one unit."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        draw = np.random.default_rng(generator(setup.seed, "examples").initial_seed())
        self.x = np.sort(draw.uniform(-1, 1, setup.examples))
        self.y = np.sin(4 * self.x) + setup.noise * draw.standard_normal(setup.examples)
        self.breaks = np.unique(np.concatenate([self.x, [-1.0, 1.0]]))
        self.atoms = units(self.x, self.breaks)
        self.C = curvature(self.atoms, setup.radius)
        self.best = self.loss(optimum(self.atoms, self.y, setup.radius))
        self.w = np.zeros(self.atoms.shape[1])
        self.seen: list[list[float]] = []

    def loss(self, w: np.ndarray) -> float:
        """J of weights (m,)."""
        return float(np.square(self.atoms @ w - self.y).mean() / 2)

    def oracle(self, w: np.ndarray) -> tuple[np.ndarray, float]:
        """The corner p of (3) as weights, and the second bound of (4)."""
        slope = self.atoms.T @ (self.atoms @ w - self.y) / len(self.y)
        chosen = int(np.abs(slope).argmax())
        corner = np.zeros_like(w)
        corner[chosen] = -self.setup.radius * np.sign(slope[chosen])
        return corner, float(slope @ (w - corner))

    def step(self, i: int) -> Record:
        corner, _ = self.oracle(self.w)
        share = 2 / (i + 2)
        if self.setup.rule == "search":
            way, wrong = self.atoms @ (corner - self.w), self.y - self.atoms @ self.w
            share = float(np.clip(way @ wrong / max(way @ way, 1e-300), 0, 1))
        self.w = (1 - share) * self.w + share * corner  # (3)
        gap = max(self.loss(self.w) - self.best, 0.0)
        self.seen.append([gap, self.oracle(self.w)[1], 2 * self.C / (i + 3)])  # (4) after i + 1 steps
        return {"loss": self.loss(self.w), "gap": gap, "bound": self.seen[-1][2], "duality_gap": self.seen[-1][1],
                "units": float((self.w != 0).sum())}

    def state(self) -> dict[str, Any]:
        return {"w": self.w.copy(), "seen": [list(row) for row in self.seen]}

    def restore(self, state: dict[str, Any]) -> None:
        self.w, self.seen = state["w"].copy(), [list(row) for row in state["seen"]]

    def pictures(self) -> dict[str, np.ndarray]:
        """The function after a few steps and now, with its break points; the gap below both bounds."""
        figure = sheet(900, 400)
        left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
        left.plot(self.x, self.y, ".", color=GREY, label="examples / 例")
        fine = np.linspace(-1, 1, 400)
        early = FrankWolfe(self.setup)
        for t in range(1, 10):
            early.step(t - 1)
            if t in (2, 9):
                left.plot(fine, units(fine, self.breaks) @ early.w, color=SHADES[4 if t == 2 else 2], label=f"t = {t}")
        name = f"t = {len(self.seen)}, {(self.w != 0).sum()} units / ユニット"
        left.plot(fine, units(fine, self.breaks) @ self.w, color=BLUE, linewidth=2, label=name)
        mass = np.abs(self.w).reshape(2, -1).sum(0)
        used = mass > 1e-3 * self.setup.radius
        bottom = float(self.y.min()) - 0.35
        left.scatter(self.breaks[used], np.full(used.sum(), bottom), 200 * mass[used] / self.setup.radius + 4,
                     color=RED, alpha=0.6, label="break points b / 折れ点")
        quiet(left, "One unit per step / 一歩に一つのユニット", "x", "f(x)").legend(fontsize=8.5, loc="upper left")
        left.set_ylim(top=float(self.y.max()) + 1.4)
        if self.seen:
            steps, (gap, dual, bound) = np.arange(1, len(self.seen) + 1), np.array(self.seen).T
            right.loglog(steps, bound, color=GREY, linestyle="--", label="2C / (t + 2)  (4)")
            right.loglog(steps, dual, color=ORANGE, linewidth=1, label="duality gap / 双対ギャップ")
            right.loglog(steps, np.maximum(gap, 1e-9), color=BLUE, label="J − J*")
        quiet(right, "Distance to the optimum / 最適値との差", "step t / ステップ")
        right.legend(fontsize=9, loc="center left")
        return {"frank_wolfe": pixels(figure)}


@cache
def _course(rule: Literal["fixed", "search"] = "fixed") -> tuple[FrankWolfe, tuple[dict[str, float], ...]]:
    program = FrankWolfe(Setup(rule=rule))
    return program, tuple({name: float(value) for name, value in program.step(i).items()} for i in range(400))


def never_above_the_bound() -> Check:
    """Over 400 steps of g = 2 / (t + 2) the gap divided by 2 C / (t + 2), with C computed, is never above 1.

    Source: Jaggi 2013, theorem 1; Bach 2017, section 2.5
    """
    return at_most(max(row["gap"] / row["bound"] for row in _course()[1]), 1.0)


def also_with_the_best_share() -> Check:
    """So it is when each step takes the best share g between 0 and 1 instead, and no step raises J: the largest ratio.

    Source: Jaggi 2013, theorem 1, for line search
    """
    rows = _course("search")[1]
    rises = any(b["loss"] > a["loss"] + 1e-15 for a, b in pairwise(rows))
    return at_most(2.0 if rises else max(row["gap"] / row["bound"] for row in rows), 1.0)


def one_unit_per_step() -> Check:
    """After t steps there are never more than t units: the largest excess over 400 steps is 0.

    Source: equation (3)
    """
    return exactly(max(row["units"] - t for t, row in enumerate(_course()[1], 1)), 0.0)


def the_duality_gap_is_a_bound() -> Check:
    """At each of 400 steps the gap to J* is at most the duality gap, which does not know J*: the largest ratio.

    Source: equation (4), right half, by convexity
    """
    return at_most(max(row["gap"] / row["duality_gap"] for row in _course()[1]), 1.0)


def the_optimum_is_certified() -> Check:
    """The weights behind J* have total variation R and a duality gap below 1e-12: nothing is lower by more.

    Source: equation (4), right half
    """
    program = _course()[0]
    w = optimum(program.atoms, program.y, program.setup.radius)
    inside = np.abs(w).sum() <= program.setup.radius * (1 + 1e-12)
    return at_most(program.oracle(w)[1] if inside else 1.0, 1e-12)


def the_curvature_is_that_of_two_corners() -> Check:
    """Over all pairs of corners p, q the largest quadratic part of J from p to q is C / 2: the ratio is 1.

    Source: Jaggi 2013, equation (3), for a quadratic J
    """
    program = _course()[0]
    corners = program.setup.radius * np.concatenate([program.atoms, -program.atoms], 1).T
    apart = max(float(np.square(corners - p).sum(1).max()) for p in corners) / (2 * len(program.y))
    return exactly(round(apart / (program.C / 2), 12), 1.0)


def data_points_are_the_only_break_points_to_try() -> Check:
    """For the residual after 5 steps, 20,001 break points find no unit better than those at the data: the excess.

    Source: what the oracle maximises is linear in b between two data points
    """
    program = FrankWolfe(Setup())
    for i in range(5):
        program.step(i)
    residual = program.atoms @ program.w - program.y
    fine = np.abs(residual @ units(program.x, np.linspace(-1, 1, 20_001))).max()
    return at_most(float(fine - np.abs(residual @ program.atoms).max()), 1e-12)


CARD = Card(
    name="Convex neural networks",
    name_ja="凸ニューラルネットワーク",
    paper="Bach 2017, Breaking the curse of dimensionality with convex neural networks, JMLR 18:19; Jaggi 2013",
    equations=(
        r"f(x) = \int s(a(x - b))\,d\mu(a, b),\quad s(u) = \max(u, 0)",
        r"\min_{|\mu| \leq R} J(f) = \frac{1}{2n}\sum_i (f(x_i) - y_i)^2",
        r"f_{t+1} = (1 - g) f_t \mp g R\,s(a(x - b)),\quad g = \frac{2}{t + 2}",
        r"J(f_t) - J^* \leq \frac{2C}{t + 2},\quad J(f_t) - J^* \leq \max_p \langle f_t - p, f_t - y\rangle / n",
    ),
    summary="A layer of infinite width is a convex problem; Frank-Wolfe solves it by one unit per step, under a bound.",
    summary_ja="幅が無限の層の学習は凸問題になる。Frank–Wolfe法は一歩に一つずつユニットを加え、上界のとおりに解く。",
    topics=("theory.bach-convex",),
    facts=(
        never_above_the_bound,
        also_with_the_best_share,
        one_unit_per_step,
        the_duality_gap_is_a_bound,
        the_optimum_is_certified,
        the_curvature_is_that_of_two_corners,
        data_points_are_the_only_break_points_to_try,
    ),
    notes=("In many dimensions the oracle of (3) is NP-hard; the convexity of (2) does not make training easy.",),
    notes_ja=("高次元では式 (3) のオラクル自体がNP困難。式 (2) が凸でも、学習が易しくなるわけではない。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A noisy sine on a line."""

    examples: int = 50
    """examples n"""
    noise: float = 0.1
    """standard deviation of the noise"""
    radius: float = 12.0
    """total variation R of the measure"""
    rule: Literal["search", "fixed"] = "search"
    """share g of the new unit; fixed: 2 / (t + 2), search: the best between 0 and 1"""
    steps: int = 400
    """steps"""
    seed: int = 0
    """of the examples"""


VARIANTS = {
    "smoke": Setup(steps=40),
    "default": Setup(),
    "fixed": Setup(rule="fixed"),
    "small": Setup(radius=4.0),
}


def build(setup: Setup, place: Place = Place()) -> FrankWolfe:  # noqa: B008 - a frozen value
    """Frank-Wolfe from the empty network, in float64 on the CPU."""
    in_range(setup, ("examples", "radius", "steps"))
    return FrankWolfe(setup)
