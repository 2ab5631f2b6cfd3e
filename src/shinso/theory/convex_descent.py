r"""What descent promises on convex functions, and what only a convex function promises (Nesterov 2004).

Let f be L-smooth, x_{k+1} = x_k - a grad f(x_k), and x* a minimiser. Then at every step k, not only in the limit,

    f convex, a = 1/L:                f(x_k) - f* <= L |x_0 - x*|^2 / (2 k)                          (1)
    f mu-strongly convex, a = 1/L:    f(x_k) - f* <= (1 - mu/L)^k (f(x_0) - f*)                      (2)
    f quadratic, a = 2 / (L + mu):    |x_k - x*| <= ((K - 1)/(K + 1))^k |x_0 - x*|,   K = L / mu     (3)

(3) is an equality for a start along the flattest or the steepest axis. No function is as bad as (1): its best possible
constant is L |x_0 - x*|^2 / (4 k + 2) (Drori and Teboulle 2014), reached by the Huber function. The proof of (1) never
uses that x* is a minimiser, so any z may stand for it. That matters for e^-x, which is convex and has no minimiser:

    f(x_k) <= min_z [ f(z) + |x_0 - z|^2 / (2 a k) ],   e^(x_k) ~ a k                                (4)

The ball rolls for ever, to x_k ~ log(a k), while the loss falls as 1 / (a k). The surprise is how little is missing to
lose all this: two tanh units that may change places have two equally good solutions and a ridge between them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
import torch

from shinso.core.axes import BLUE, GREEN, ORANGE, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.maths.convexity import refute

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["quadratic", "logistic", "ridge", "runaway"]
ROUNDING = 1e-14
"""a gap is the difference of two numbers near 1: what it cannot resolve is added to every bound"""


@dataclass(frozen=True)
class Problem:
    """A smooth convex function of one vector, its constants, where descent starts and where it should arrive."""

    value: Callable[[np.ndarray], float]
    slope: Callable[[np.ndarray], np.ndarray]
    L: float
    mu: float
    start: np.ndarray
    end: np.ndarray


def normal(seed: int, name: str, *shape: int) -> np.ndarray:
    """Standard normal numbers of the stream `name`, float64."""
    return torch.randn(*shape, generator=generator(seed, name), dtype=torch.float64).numpy()


def quadratic(condition: float, dimensions: int, seed: int) -> Problem:
    """1/2 sum_k L_k x_k^2 with L_k from 1/K to 1, evenly in the logarithm."""
    curvature = np.logspace(-np.log10(condition), 0, dimensions)
    return Problem(lambda x: float(0.5 * curvature @ x**2), lambda x: curvature * x, 1.0, float(curvature[0]),
                   normal(seed, "start", dimensions), np.zeros(dimensions))


def logistic(ridge: float, dimensions: int, seed: int) -> Problem:
    """Mean of log(1 + e^(-s w x)) over 200 points whose signs s a line explains only in part, plus ridge/2 |w|^2."""
    X = normal(seed, "points", 200, dimensions) / np.arange(1, dimensions + 1)
    Z = X * np.sign(X.sum(1) + normal(seed, "doubt", 200))[:, None]
    L = float(np.linalg.eigvalsh(X.T @ X)[-1]) / (4 * len(X)) + ridge  # s'(t) <= 1/4

    def value(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -Z @ w).mean() + 0.5 * ridge * w @ w)

    def slope(w: np.ndarray) -> np.ndarray:
        return -Z.T @ _sigmoid(-Z @ w) / len(Z) + ridge * w

    w = np.zeros(dimensions)
    for _ in range(50):  # Newton's method, to the last digit
        s = _sigmoid(Z @ w)
        w = w - np.linalg.solve((Z.T * (s * (1 - s))) @ Z / len(Z) + ridge * np.eye(dimensions), slope(w))
    return Problem(value, slope, L, ridge, 3 * normal(seed, "start", dimensions), w)


def _sigmoid(t: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * t))


def runaway(seed: int) -> Problem:
    """e^-x from a start in [0, 1): convex, L = e^-start along the walk, no minimiser."""
    start = torch.rand(1, generator=generator(seed, "start"), dtype=torch.float64).numpy()
    return Problem(lambda x: float(np.exp(-x[0])), lambda x: -np.exp(-x), float(np.exp(-start[0])), 0.0, start,
                   np.array([np.inf]))


def no_minimiser_bound(problem: Problem, k: int) -> float:
    """(4) for e^-x: the best z on a fine grid; every z gives a valid bound."""
    z = problem.start[0] + np.linspace(0, 5 + np.log(k + 1.0), 2000)
    return float((np.exp(-z) + problem.L * (z - problem.start[0]) ** 2 / (2 * k)).min())  # (4)


def walk(problem: Problem, steps: int, rate: float) -> np.ndarray:
    """The start and every place after it, (steps + 1, d)."""
    path = [problem.start]
    for _ in range(steps):
        path.append(path[-1] - rate * problem.slope(path[-1]))
    return np.array(path)


def huber_gap(k: int) -> float:
    """f(x_k) of descent from 1 on the Huber function with L = 1 and its knee at 1/(2 k + 1), the worst for k steps."""
    x, knee = 1.0, 1 / (2 * k + 1)
    for _ in range(k):
        x -= float(np.clip(x, -knee, knee))
    return knee * abs(x) - 0.5 * knee**2 if abs(x) > knee else 0.5 * x * x


def problem_of(setup: "Setup") -> Problem:
    """The function that the setup names."""
    if setup.function == "quadratic":
        return quadratic(setup.condition, setup.dimensions, setup.seed)
    if setup.function == "runaway":
        return runaway(setup.seed)
    return logistic(setup.ridge if setup.function == "ridge" else 0.0, setup.dimensions, setup.seed)


def measured_and_bound(kind: Kind, problem: Problem, x: np.ndarray, k: int) -> tuple[float, float]:
    """What is bounded after k steps at x, and its bound: a distance for the quadratic, else a gap."""
    far = float(np.linalg.norm(problem.start - problem.end))
    if kind == "quadratic":
        K = problem.L / problem.mu
        return float(np.linalg.norm(x)), ((K - 1) / (K + 1)) ** k * far * (1 + 1e-13 * k)  # (3)
    if kind == "runaway":
        return problem.value(x), no_minimiser_bound(problem, k)
    least = problem.value(problem.end)
    if kind == "ridge":
        bound = (1 - problem.mu / problem.L) ** k * (problem.value(problem.start) - least)  # (2)
    else:
        bound = problem.L * far**2 / (2 * k)  # (1)
    return max(problem.value(x) - least, 0.0), bound + ROUNDING


def rate_of(kind: Kind, problem: Problem) -> float:
    """The step for which the bound of this kind is proved."""
    return 2 / (problem.L + problem.mu) if kind == "quadratic" else 1 / problem.L


@final
class Descent:
    """One step of the program is one step downhill, with its bound."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total, self.problem = setup, setup.steps, problem_of(setup)
        self.rate = rate_of(setup.function, self.problem)
        self.x = self.problem.start

    def step(self, i: int) -> Record:
        self.x = self.x - self.rate * self.problem.slope(self.x)
        measured, bound = measured_and_bound(self.setup.function, self.problem, self.x, i + 1)
        name = "distance" if self.setup.function == "quadratic" else "gap"
        return {"loss": self.problem.value(self.x), name: measured,
                "distance_bound" if name == "distance" else "bound": bound, "bound_used": measured / bound}

    def state(self) -> dict[str, Any]:
        return {"x": self.x}

    def restore(self, state: dict[str, Any]) -> None:
        self.x = np.array(state["x"])

    def pictures(self) -> dict[str, np.ndarray]:
        """All four functions with their bounds, and the loss for which there is none."""
        return {"descent_bounds": _bounds(self.setup), "swapped_units": _swapped()}


def _bounds(setup: "Setup") -> np.ndarray:
    figure = sheet(1000, 740)
    titles: dict[Kind, str] = {
        "logistic": "logistic loss / ロジスティック損失: (1)", "ridge": "strongly convex / 強凸: (2)",
        "quadratic": "quadratic / 二次関数: (3)", "runaway": "exp(-x), no minimiser / 最小点なし: (4)"}
    for axes, (kind, title) in zip(figure.subplots(2, 2).flat, titles.items(), strict=True):
        _curve(axes, setup, kind)
        quiet(axes, title, "step k / ステップ", "|x - x*|" if kind == "quadratic" else "f - f*")
        axes.legend(frameon=False, fontsize=9, loc="lower left")
    return pixels(figure)


def _curve(axes: "Axes", setup: "Setup", kind: Kind) -> None:
    problem, steps = problem_of(replace(setup, function=kind)), 200
    path = walk(problem, steps, rate_of(kind, problem))
    ks = np.arange(1, steps + 1)
    pairs = np.array([measured_and_bound(kind, problem, x, int(k)) for k, x in zip(ks, path[1:], strict=True)])
    few = np.unique(np.geomspace(1, steps, 28).astype(int)) - 1 if kind in ("logistic", "runaway") else ks[::8] - 1
    axes.plot(ks, pairs[:, 1], color=RED, linewidth=1.8, label="bound / 上界")
    axes.plot(ks[few], np.maximum(pairs[few, 0], 1e-16), "o", color=BLUE, markersize=4.5, label="measured / 測定")
    if kind == "quadratic":
        steepest = np.zeros_like(problem.start)
        steepest[-1] = np.linalg.norm(problem.start)
        worst = walk(replace(problem, start=steepest), steps, rate_of(kind, problem))
        axes.plot(ks[few], np.linalg.norm(worst, axis=1)[few + 1], "s", color=ORANGE, fillstyle="none", markersize=7,
                  label="worst start / 最悪の初期点")
    if kind == "logistic":
        scale = problem.L * np.linalg.norm(problem.start - problem.end) ** 2
        axes.plot(ks[few], [scale * huber_gap(int(k)) for k in ks[few]], "s", color=ORANGE, fillstyle="none",
                  markersize=7, label="worst function / 最悪の関数")
    if kind == "runaway":
        axes.plot(ks, problem.L / ks, ":", color=GREEN, linewidth=2, label="1 / (a k)")
    axes.set(yscale="log", xscale="log" if kind in ("logistic", "runaway") else "linear")


POINTS = np.linspace(-2, 2, 41)
TEACHER = np.array([0.4, 2.5])


def two_units_loss(w: np.ndarray) -> float:
    """Mean squared error of tanh(w_1 x) + tanh(w_2 x) against w = (0.4, 2.5), on 41 points; zero there and swapped."""
    made = np.tanh(np.multiply.outer(w, POINTS)).sum(-2) - np.tanh(np.multiply.outer(TEACHER, POINTS)).sum(-2)
    return float((made**2).mean())


def _swapped() -> np.ndarray:
    """The loss of two units over their weights, and along the line from a solution to its mirror image."""
    figure = sheet(1000, 430)
    left, right = figure.subplots(1, 2)
    axis = np.linspace(-0.5, 3.5, 90)
    level = np.array([[two_units_loss(np.array([a, b])) for a in axis] for b in axis])
    left.contourf(axis, axis, np.log10(level + 1e-4), levels=np.linspace(-3.5, 0.8, 18), cmap="Blues_r", extend="both")
    ends = np.array([TEACHER, TEACHER[::-1]])
    left.plot(*ends.T, "--", color=RED, linewidth=1.5)
    left.plot(*ends.T, "*", color=ORANGE, markersize=16, label="loss 0 / 損失ゼロ", linestyle="none")
    left.plot(*ends.mean(0), "o", color=RED, markersize=7, label="middle / 中点", linestyle="none")
    left.legend(loc="upper right", fontsize=9)
    quiet(left, "tanh(w₁x) + tanh(w₂x): loss / 損失", "w₁", "w₂").set_aspect("equal")
    t = np.linspace(-0.25, 1.25, 121)
    along = [two_units_loss((1 - s) * ends[0] + s * ends[1]) for s in t]
    right.plot(t, along, color=BLUE, linewidth=2, label="loss on the line / 線上の損失")
    right.plot([0, 1], [0, 0], "--*", color=RED, markersize=13, markerfacecolor=ORANGE, label="chord / 弦")
    right.plot(0.5, two_units_loss(ends.mean(0)), "o", color=RED, markersize=7)
    quiet(right, "the graph above its chord / 弦より上にあるグラフ", "t").legend(frameon=False, loc="upper center")
    return pixels(figure)


def _largest_share(kind: Kind, steps: int) -> float:
    share = 0.0
    for seed in range(3):
        program = Descent(Setup(function=kind, steps=steps, seed=seed))
        share = max(share, *(float(program.step(i)["bound_used"]) for i in range(steps)))
    return share


def convex_descent_stays_below_its_bound() -> Check:
    """On the logistic loss, three starts, 500 steps of 1/L each: the largest share of bound (1) that is used up.

    Source: Beck and Teboulle 2009, theorem 3.1 without its second function; equation (1)
    """
    return at_most(_largest_share("logistic", 500), 1.0)


def strong_convexity_gives_a_straight_line() -> Check:
    """On the logistic loss with a ridge, three starts, 300 steps: the largest share of bound (2) that is used up.

    Source: Polyak 1963; equation (2), by f(x) - f* <= |grad f|^2 / (2 mu)
    """
    return at_most(_largest_share("ridge", 300), 1.0)


def quadratics_stay_below_theirs() -> Check:
    """On quadratics with condition number 100, three starts, 500 steps of 2/(L + mu): the largest share of bound (3).

    Source: Nesterov 2004, theorem 2.1.15; equation (3)
    """
    return at_most(_largest_share("quadratic", 500), 1.0)


def the_steepest_axis_uses_all_of_it() -> Check:
    """From a start on the steepest axis the distance after 100 steps is bound (3) itself, to 1e-12 of it.

    Source: equation (3): 1 - a L = -(K - 1)/(K + 1)
    """
    problem = quadratic(100.0, 10, 0)
    path = walk(replace(problem, start=np.eye(10)[-1]), 100, 2 / 1.01)
    return about(float(np.linalg.norm(path[-1])) / (99 / 101) ** 100, 1.0, 1e-12)


def the_worst_function_uses_half_of_it() -> Check:
    """On the Huber function made for k = 50 steps the gap is L R^2 / (4 k + 2), a factor 2 + 1/k below (1), to 1e-12.

    Source: Drori and Teboulle 2014, section 3
    """
    return about((1 / (2 * 50)) / huber_gap(50), 2 + 1 / 50, 1e-12)


def every_start_ends_at_the_same_place() -> Check:
    """From 5 starts on the logistic loss with a ridge, 4,000 steps end within 1e-9 of Newton's minimiser.

    Source: a local minimum of a strictly convex function is the only one
    """
    problem = logistic(0.02, 5, 0)
    far = [replace(problem, start=5 * normal(seed, "starts", 5)) for seed in range(5)]
    return at_most(max(float(np.linalg.norm(walk(one, 4000, 1 / one.L)[-1] - one.end)) for one in far), 1e-9)


def convex_without_a_minimiser() -> Check:
    """On e^-x from 0 with rate 1, k f(x_k) is 1 within 1e-3 after k = 10,000 steps: the loss goes to 0, x to infinity.

    Source: equation (4); e^(x_{k+1}) = e^(x_k) + 1 + O(e^-x_k)
    """
    x = 0.0
    for _ in range(10_000):
        x += float(np.exp(-x))
    return about(10_000 * float(np.exp(-x)), 1.0, 1e-3)


def any_point_serves_in_the_bound() -> Check:
    """On e^-x, three starts, 500 steps: the largest share of bound (4) that is used up.

    Source: equation (4), the proof of (1) with z for x*
    """
    return at_most(_largest_share("runaway", 500), 1.0)


def no_chord_refutes_the_logistic_loss() -> Check:
    """2,000 random chords of the logistic loss bring no counterexample: the number found.

    Source: equation (1) rests on convexity
    """
    found = refute(logistic(0.0, 5, 0).value, lambda rng: 5 * rng.normal(size=5), np.random.default_rng(0), 2000)
    return exactly(0 if found is None else 1, 0)


def a_chord_refutes_the_hidden_layer() -> Check:
    """Between weights (0.4, 2.5) and (2.5, 0.4), both of loss 0, the middle has a loss of at least 0.05.

    Source: course statement on convexity; hidden units may change places
    """
    ends = (two_units_loss(TEACHER), two_units_loss(TEACHER[::-1]))
    return at_least(two_units_loss(np.full(2, TEACHER.mean())) - 0.5 * sum(ends), 0.05)


CARD = Card(
    name="Descent on convex functions",
    name_ja="凸関数での勾配降下",
    paper="Nesterov 2004, Introductory Lectures on Convex Optimization; Beck, Teboulle 2009; Drori, Teboulle 2014",
    equations=(
        r"f(x_k) - f^* \leq \frac{L\,|x_0 - x^*|^2}{2k}",
        r"f(x_k) - f^* \leq (1 - \mu/L)^k\,(f(x_0) - f^*)",
        r"|x_k - x^*| \leq \left(\frac{\kappa - 1}{\kappa + 1}\right)^k |x_0 - x^*|,\quad \kappa = L/\mu",
        r"f(x_k) \leq \min_z\left[f(z) + \frac{|x_0 - z|^2}{2ak}\right]",
    ),
    summary="Three promises of gradient descent on convex functions, kept at every step, and a network that has none.",
    summary_ja="凸関数での勾配降下の三つの保証が、一歩ごとに守られることを確かめる。ニューラルネットにその保証はない。",
    topics=("theory.convexity",),
    facts=(convex_descent_stays_below_its_bound, strong_convexity_gives_a_straight_line, quadratics_stay_below_theirs,
           the_steepest_axis_uses_all_of_it, the_worst_function_uses_half_of_it, every_start_ends_at_the_same_place,
           convex_without_a_minimiser, any_point_serves_in_the_bound, no_chord_refutes_the_logistic_loss,
           a_chord_refutes_the_hidden_layer),
    notes=("A local minimum of a convex function is a global one; that there is one, and only one, are two further "
           "questions. e^-x has none, a constant has them all.",
           "The document calls theta f(x) + (1 - theta) f(y) >= f(theta x + (1 - theta) y) the definition; it holds "
           "for theta between 0 and 1 only.",
           "The step is part of each promise: 1/L for (1) and (2), 2/(L + mu) for (3)."),
    notes_ja=("凸関数の局所最小は大域最小である。最小点があるか、一つだけかは別の問題である。"
              "e^-x には一つもなく、定数関数ではすべての点が最小点である。",
              "資料は theta f(x) + (1 - theta) f(y) >= f(theta x + (1 - theta) y) を定義とするが、"
              "theta が 0 から 1 のときだけの話である。",
              "学習率も保証の一部である。(1) と (2) では 1/L、(3) では 2/(L + mu)。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A convex function and the step for which its bound is proved."""

    function: Literal["quadratic", "logistic", "ridge", "runaway"] = "logistic"
    """quadratic: bound (3); logistic: bound (1); ridge: bound (2); runaway: e^-x, bound (4)"""
    condition: float = 100.0
    """K = L / mu of the quadratic"""
    ridge: float = 0.02
    """mu of the logistic loss with a ridge"""
    dimensions: int = 5
    """numbers to learn"""
    steps: int = 500
    """steps of gradient descent"""
    seed: int = 0
    """of the points and the start"""


VARIANTS = {"smoke": Setup(steps=60), "default": Setup(), "ridge": Setup(function="ridge", steps=300),
            "quadratic": Setup(function="quadratic"), "runaway": Setup(function="runaway")}


def build(setup: Setup, place: Place = Place()) -> Descent:  # noqa: B008 - a frozen value
    """The walk, in float64 on the CPU."""
    in_range(setup, ("condition", "ridge", "dimensions", "steps"))
    if setup.condition < 1 or (setup.function == "quadratic" and setup.dimensions < 2):
        raise UserError("condition", "a condition number of two axes or more is at least 1",
                        "give --condition 1 or more and --dimensions 2 or more")
    return Descent(setup)
