r"""Gradient descent in one and two dimensions: a ball that rolls down, and the learning rate that throws it out.

    x_{t+1} = x_t - a grad f(x_t)                                              (1)

on the two functions of the course, both of the form f(x) = 1/2 sum_k L_k x_k^2: x^2 has L = (2), and
1/2 x^2 + 5 y^2 has L = (1, 10). There each coordinate walks by itself, and every step is known beforehand:

    x_k(t) = (1 - a L_k)^t x_k(0)                                              (2)

so the walk ends at the minimum if and only if |1 - a L_k| < 1 for every k,

    0 < a < 2 / L,  L = max_k L_k                                              (3)

On any convex f whose gradient changes by at most L per unit, and on those f with the least curvature m,

    f(x_t) - f* <= L |x_0 - x*|^2 / (2 t)                   at a = 1/L                                   (4)
    |x_t - x*| <= ((k - 1)/(k + 1))^t |x_0 - x*|            at a = 2/(L + m), k = L/m                    (5)

The surprise: the steepest direction alone decides how large a may be, and the flattest one how long it takes. At
a = 2/L the ball neither falls nor rises: y = 1, -1, 1, -1 for ever. A walk that diverges is a result, too: it is shown
until it is further than `far` from the minimum, and stands still from then on.

Cauchy 1847 (1). With + in (1), as one document prints it, the ball climbs: every a > 0 diverges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
import torch

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVATURES = {"square": np.array([2.0]), "valley": np.array([1.0, 10.0])}
"""L_k of x^2 and of 1/2 x^2 + 5 y^2"""
NAMES = ("x", "y")


def height(curvature: np.ndarray, x: np.ndarray) -> np.ndarray:
    """f(x) = 1/2 sum_k L_k x_k^2 for x (..., d)."""
    return 0.5 * (curvature * x**2).sum(-1)


def slope(curvature: np.ndarray, x: np.ndarray) -> np.ndarray:
    """grad f(x), (..., d)."""
    return curvature * x


def move(curvature: np.ndarray, x: np.ndarray, lr: float) -> np.ndarray:
    """One step downhill."""
    return x - lr * slope(curvature, x)  # (1)


def walk(curvature: np.ndarray, start: Sequence[float], lr: float, steps: int, far: float = np.inf) -> np.ndarray:
    """The start and every place after it, (steps + 1, d); beyond the distance `far` the ball stands still."""
    path = [np.array(start, dtype=float)]
    for _ in range(steps):
        path.append(move(curvature, path[-1], lr) if np.linalg.norm(path[-1]) <= far else path[-1])
    return np.array(path)


def foreseen(curvature: np.ndarray, start: np.ndarray, lr: float, t: int) -> np.ndarray:
    """Where the ball is after t moves, without making them."""
    return (1 - lr * curvature) ** t * start  # (2)


def largest_rate(curvature: np.ndarray) -> float:
    """2 / L."""
    return 2 / float(curvature.max())  # (3)


@final
class Descent:
    """One step of the program is one step downhill."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.curvature = CURVATURES[setup.function]
        self.start = _start(setup, len(self.curvature))
        self.x, self.moves = self.start, 0

    def step(self, i: int) -> Record:
        if np.linalg.norm(self.x) <= self.setup.far:
            self.x, self.moves = move(self.curvature, self.x, self.setup.lr), self.moves + 1
        predicted = float(np.linalg.norm(foreseen(self.curvature, self.start, self.setup.lr, self.moves)))
        distance = float(np.linalg.norm(self.x))
        largest = max(distance, float(np.linalg.norm(self.start)))
        return {"loss": float(height(self.curvature, self.x)), **dict(zip(NAMES, self.x.tolist(), strict=False)),
                "squared_distance": distance**2, "measured": distance, "predicted": predicted,
                "within": 1e-12 * (i + 1) * largest, "thrown_out": float(distance > self.setup.far)}

    def state(self) -> dict[str, Any]:
        return {"x": self.x, "moves": self.moves}

    def restore(self, state: dict[str, Any]) -> None:
        self.x, self.moves = np.array(state["x"]), int(state["moves"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The path so far with its start, its distance beside the predicted one, and what other rates would do."""
        return {"walk": pixels(walk_figure(self)), "rates": _rates(self)}


def _start(setup: "Setup", dimensions: int) -> np.ndarray:
    if setup.start:
        return np.array(setup.start, dtype=float)
    draw = torch.rand(dimensions, generator=generator(setup.seed, "start"), dtype=torch.float64).numpy()
    return 1 + 3 * draw


def walk_figure(program: Descent) -> "Figure":
    """Left the path on the function (drawn again from the start, which belongs to it), right its distance by step."""
    setup = program.setup
    path = walk(program.curvature, program.start.tolist(), setup.lr, program.moves, setup.far)
    figure = sheet(1000, 420)
    left, right = figure.subplots(1, 2)
    (_ball if len(program.curvature) == 1 else _contours)(left, program, path)
    steps = np.arange(len(path))
    known = [np.linalg.norm(foreseen(program.curvature, program.start, setup.lr, int(t))) for t in steps]
    right.plot(steps, np.maximum(np.linalg.norm(path, axis=1), 1e-17), "o", color=BLUE, markersize=4,
               label="measured / 測定")
    right.plot(steps, np.maximum(known, 1e-17), color=RED, linewidth=1.3, label="closed form / 閉じた式 (2)")
    right.set_yscale("log")
    quiet(right, f"distance / 最小点までの距離   a = {setup.lr:g},  2/L = {largest_rate(program.curvature):g}", "t")
    right.legend(frameon=False)
    return figure


def _contours(axes: "Axes", program: Descent, path: np.ndarray) -> None:
    wide, tall = 1.25 * max(abs(program.start[0]), 0.5), 1.9 * max(abs(program.start[1]), 0.5)
    grid = np.stack(np.meshgrid(np.linspace(-wide, wide, 200), np.linspace(-tall, tall, 200)), -1)
    level = height(program.curvature, grid)
    axes.contour(grid[..., 0], grid[..., 1], level, levels=level.max() * np.linspace(0.05, 1, 12) ** 2,
                 cmap="viridis", linewidths=0.8)
    axes.plot(*path.T, "-o", color=BLUE, markersize=4, linewidth=1, label="path / 軌跡")
    known = np.array([foreseen(program.curvature, program.start, program.setup.lr, t) for t in range(len(path))])
    axes.plot(*known.T, "o", color=RED, fillstyle="none", markersize=8, linestyle="none", label="(2)")
    axes.plot(*path[0], "*", color=ORANGE, markersize=16, label="start / 初期点")
    axes.plot(0, 0, "+", color="black", markersize=12, label="minimum / 最小点")
    axes.set(xlim=(-wide, wide), ylim=(-tall, tall))
    quiet(axes, "f = x²/2 + 5y²", "x", "y").legend(frameon=True, fontsize=8, loc="lower left")


def _ball(axes: "Axes", program: Descent, path: np.ndarray) -> None:
    wide = 1.3 * max(abs(program.start[0]), 0.5)
    x = np.linspace(-wide, wide, 300)
    known = np.array([foreseen(program.curvature, program.start, program.setup.lr, t) for t in range(len(path))])
    axes.plot(x, height(program.curvature, x[:, None]), color=GREY, linewidth=1.5)
    axes.plot(path[:, 0], height(program.curvature, path), "-o", color=BLUE, linewidth=0.8, markersize=6,
              label="path / 軌跡")
    axes.plot(known[:, 0], height(program.curvature, known), "o", color=RED, fillstyle="none", markersize=11,
              linestyle="none", label="(2)")
    axes.plot(path[0, 0], height(program.curvature, path[0]), "*", color=ORANGE, markersize=16, label="start / 初期点")
    top = float(height(program.curvature, np.array([wide])))
    axes.set(xlim=(-wide, wide), ylim=(-0.05 * top, top))
    quiet(axes, "f = x²", "x", "f").legend(frameon=False, loc="upper center")


def factor(curvature: np.ndarray, lr: float, steps: int = 200) -> float:
    """By how much the distance is multiplied in one step, measured late in a walk that is scaled back every step."""
    x = np.ones_like(curvature)
    grown = 0.0
    for _ in range(steps):
        ahead = move(curvature, x, lr)
        grown = float(np.linalg.norm(ahead))
        if grown == 0:
            return 0.0
        x = ahead / grown
    return grown


def _rates(program: Descent) -> np.ndarray:
    """The factor of (2) against the learning rate: below 1 it converges."""
    edge = largest_rate(program.curvature)
    rates = np.linspace(0.01 * edge, 1.3 * edge, 60)
    figure = sheet(800, 360)
    axes = figure.subplots()
    axes.plot(rates, np.abs(1 - np.outer(rates, program.curvature)).max(1), color=RED,
              label="|1 - a L|, (2)")
    axes.plot(rates, [factor(program.curvature, rate) for rate in rates], "o", color=BLUE, markersize=4,
              label="measured / 測定")
    axes.axhline(1, color=GREY, linewidth=0.8)
    axes.axvline(edge, color=GREEN, linewidth=1.5, label=f"2/L = {edge:g}")
    axes.axvline(program.setup.lr, color=ORANGE, linestyle="--", label=f"a = {program.setup.lr:g}")
    quiet(axes, "distance after / before a step  |  一歩での距離の倍率", "learning rate a / 学習率")
    axes.legend(frameon=False)
    return pixels(figure)


def by_hand() -> Check:
    """On x^2 from 2 with rate 0.2 the places are 2, 1.2, 0.72, 0.432, 0.2592: the largest difference.

    Source: course exercise on the gradient method by hand
    """
    path = walk(CURVATURES["square"], (2.0,), 0.2, 4)[:, 0]
    return at_most(float(np.abs(path - [2, 1.2, 0.72, 0.432, 0.2592]).max()), 1e-15)


def the_course_walk_is_its_closed_form() -> Check:
    """From (4, 1) with rate 0.18, 20 steps stay within 1e-14 of 4 * 0.82^t and (-0.8)^t.

    Source: course exercise 1-2 on the learning rate and the start
    """
    path = walk(CURVATURES["valley"], (4.0, 1.0), 0.18, 20)
    t = np.arange(21)
    return at_most(float(np.abs(path - np.stack([4 * 0.82**t, (-0.8) ** t], 1)).max()), 1e-14)


def at_the_edge_it_alternates() -> Check:
    """At rate 0.2 the height y is exactly 1, -1, 1, -1 over 1,000 steps: the largest difference.

    Source: course exercise 1-2; (2) with 1 - 0.2 * 10 = -1
    """
    y = walk(CURVATURES["valley"], (4.0, 1.0), 0.2, 1000)[:, 1]
    return exactly(float(np.abs(y - (-1.0) ** np.arange(1001)).max()), 0.0)


def the_edge_is_where_it_was_foretold() -> Check:
    """Halving an interval 40 times finds the first rate that diverges: 2/L = 0.2 on the valley, to 1e-6.

    Source: equation (3)
    """
    return about(_edge("valley"), largest_rate(CURVATURES["valley"]), 1e-6)


def the_edge_of_the_square() -> Check:
    """On x^2 the first rate that diverges is 1, to 1e-6.

    Source: equation (3)
    """
    return about(_edge("square"), largest_rate(CURVATURES["square"]), 1e-6)


def _edge(function: str) -> float:
    low, high = 1e-3, 10.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if factor(CURVATURES[function], middle) < 1 else (low, middle)
    return 0.5 * (low + high)


def above_the_edge_it_is_thrown_out() -> Check:
    """At rate 0.21 the walk from (4, 1) leaves every ball: its distance after 200 steps, and it is still a number.

    Source: course exercise 1-2, rates above 0.2
    """
    last = walk(CURVATURES["valley"], (4.0, 1.0), 0.21, 200, far=1e6)[-1]
    return Check(float(np.linalg.norm(last)), 1e6, 1.1e7)


def the_axis_is_never_left() -> Check:
    """A start on the x axis stays on it: the largest |y| over 100 steps.

    Source: course exercise 1-2, other starts
    """
    return exactly(float(np.abs(walk(CURVATURES["valley"], (3.0, 0.0), 0.15, 100)[:, 1]).max()), 0.0)


def its_height_falls_like_one_over_t() -> Check:
    """At a = 1/L on 50 curvatures from 1e-4 to 1, f divided by the bound (4) is at most 1 for 1,000 steps.

    Source: Nesterov 2004, corollary 2.1.2; equation (4)
    """
    curvature, t = np.logspace(-4, 0, 50), np.arange(1, 1001)
    heights = height(curvature, walk(curvature, [1.0] * 50, 1.0, 1000)[1:])
    return at_most(float((heights * 2 * t / 50).max()), 1.0)


def the_best_rate_contracts_as_promised() -> Check:
    """On curvatures 0.01, 0.1 and 1 at a = 2/(L + m) a step multiplies the distance by 99/101, to 1e-12.

    Source: equation (5) with k = 100
    """
    return about(factor(np.array([0.01, 0.1, 1.0]), 2 / 1.01), 99 / 101, 1e-12)


def no_other_rate_is_better() -> Check:
    """Of 61 rates from 0.8 to 1.2 times 2/(L + m) the one with the least factor is within 1 percent of it.

    Source: equation (5); max |1 - a L|, |1 - a m| is least where the two are equal
    """
    rates = np.linspace(0.8, 1.2, 61) * 2 / 1.01
    found = [factor(np.array([0.01, 1.0]), rate, 600) for rate in rates]
    return about(float(rates[int(np.argmin(found))] * 1.01 / 2), 1.0, 0.01)


def with_a_plus_the_ball_climbs() -> Check:
    """With w + a grad f, as one document prints it, the height grows at least 1,000-fold in 20 steps.

    Source: sign slip in a document's update rule
    """
    curvature, start = CURVATURES["valley"], np.array([4.0, 1.0])
    last = walk(curvature, start.tolist(), -0.18, 20)[-1]
    return at_least(float(height(curvature, last) / height(curvature, start)), 1e3)


def the_start_is_drawn() -> Check:
    """The drawn path after 20 steps has 21 points, and they are the recorded places with the start before them.

    Source: slip in a course notebook, whose lists begin after the first step
    """
    program = Descent(replace(VARIANTS["default"], steps=20))
    places = [program.start.tolist()]
    for i in range(program.total):
        row = program.step(i)
        places.append([float(row[name]) for name in NAMES])
    drawn = np.asarray(walk_figure(program).axes[0].lines[0].get_xydata())
    same = drawn.shape == (21, 2) and bool((drawn == np.array(places)).all())
    return exactly(len(drawn) if same else -1, 21)


CARD = Card(
    name="Gradient descent",
    name_ja="勾配降下法",
    paper="Cauchy 1847, Méthode générale pour la résolution des systèmes d'équations simultanées",
    equations=(
        r"x_{t+1} = x_t - a\,\nabla f(x_t)",
        r"x_k(t) = (1 - a L_k)^t\,x_k(0)",
        r"0 < a < 2/L,\quad L = \max_k L_k",
        r"f(x_t) - f^* \leq L\,\|x_0 - x^*\|^2 / (2 t)\quad (a = 1/L)",
        r"\|x_t - x^*\| \leq \left(\frac{k - 1}{k + 1}\right)^t \|x_0 - x^*\|\quad (a = 2/(L + m),\ k = L/m)",
    ),
    summary="A ball on a parabola and in a valley: where each step lands is known beforehand, and when it escapes.",
    summary_ja="放物線と細長い谷を転がるボール。一歩ごとの位置も、飛び出してしまう学習率も、前もって式で分かる。",
    topics=("studio.gradient-walk", "basics.exercise-gd-by-hand", "basics.exercise-1-2", "optim.gd",
            "optim.learning-rate"),
    facts=(
        by_hand,
        the_course_walk_is_its_closed_form,
        at_the_edge_it_alternates,
        the_edge_is_where_it_was_foretold,
        the_edge_of_the_square,
        above_the_edge_it_is_thrown_out,
        the_axis_is_never_left,
        its_height_falls_like_one_over_t,
        the_best_rate_contracts_as_promised,
        no_other_rate_is_better,
        with_a_plus_the_ball_climbs,
        the_start_is_drawn,
    ),
    notes=("One document writes w + a grad J for the descent: that climbs. The sign here is minus.",
           "A course notebook begins its lists after the first step, so its picture lacks the start; here it is drawn.",
           "One document says that the minimum is reached; that holds for functions such as these. Elsewhere the walk "
           "may end in a local minimum or near a saddle."),
    notes_ja=("ある資料は降下の式を w + a grad J と書くが、それでは登ってしまう。ここでは符号はマイナス。",
              "講義ノートブックのリストは一歩目の後から始まり、図に初期点がない。ここでは初期点も描く。",
              "ある資料は最小値に到達すると述べるが、それはこのような関数での話。一般には局所最小や鞍点の近くで終わることがある。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Which function, from where, and how boldly."""

    SIGNED = ("start",)
    function: Literal["square", "valley"] = "valley"
    """square: x^2; valley: 1/2 x^2 + 5 y^2"""
    start: tuple[float, ...] = (4.0, 1.0)
    """where the ball is let go, one number for each coordinate; empty: drawn between 1 and 4"""
    lr: float = 0.18
    """learning rate a in (1)"""
    steps: int = 60
    """number of steps"""
    far: float = 1e6
    """a walk that is further than this from the minimum is stopped"""
    seed: int = 0
    """of a drawn start"""


VARIANTS = {
    "smoke": Setup(start=(), steps=40),
    "default": Setup(),
    "by-hand": Setup(function="square", start=(2.0,), lr=0.2, steps=40),
    "edge": Setup(lr=0.2),
    "thrown-out": Setup(lr=0.21, steps=200),
    "timid": Setup(lr=0.005, steps=200),
}


def build(setup: Setup, place: Place = Place()) -> Descent:  # noqa: B008 - Place is frozen
    """A ball at its start; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("lr", "steps", "far"))
    wanted = len(CURVATURES[setup.function])
    if setup.start and len(setup.start) != wanted:
        raise UserError("start", f"{setup.function} needs {wanted} coordinate(s), not {len(setup.start)}",
                        "give that many numbers, for example --start 2" if wanted == 1 else "give for example 4,1")
    return Descent(setup)
