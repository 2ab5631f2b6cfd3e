r"""A race of optimisers: any methods, from one start, on one function, each at the rate that suits it best.

Every step of the program is one step of every method, and the goal is the same for all:

    f(w_t) - f* <= tolerance, for five steps in a row                          (1)

On x^2/2 + 5 y^2 it is known when plain gradient descent arrives, because each coordinate walks by itself:

    x_t = (1 - a)^t x_0,  y_t = (1 - 10 a)^t y_0                               (2)
    fastest at a = 2/11, where both shrink by 9/11 in a step                   (3)

Rates are chosen from a grid by a short trial on the race's own function and start, so the comparison is fair and
flatters everybody alike. The table counts steps and gradients: a step of some methods computes several. The surprise:
no method wins everywhere, and the winner of a bowl may be the last in a valley.

In Python, without the command line:

    from shinso.basics import race
    course = race.finished(race.Setup(function="rosenbrock", optimisers="adam, lion(lr=0.01)"))
    course.files()["race.gif"]  # beside course.pictures() and course.standings()

Cauchy 1847 (2); the functions are those of maths.landscapes, logistic regression, and a small network.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from shinso.basics import _race_pictures as drawing
from shinso.basics._race_problems import problem
from shinso.basics._race_runner import Entry, Runner, able, entries, every, tuned
from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range


@final
class Race:
    """One step of the program is one step of every method; a method that was thrown out stands still."""

    def __init__(self, setup: "Setup"):
        self.setup = setup
        self.problem = problem(setup.function, setup.seed)
        self.total = setup.steps or self.problem.steps
        self.tolerance = setup.tolerance or self.problem.tolerance
        self.start = _start(setup, self.problem.start)
        self.entries = self._entries()
        self.rates: list[float | None] | None = None
        self.runners: list[Runner] = []

    def _entries(self) -> list[Entry]:
        """Those that were asked for; of all methods those that can."""
        if self.setup.optimisers.strip() == "all":
            return [one for one in every() if not able(one, self.problem)]
        found = entries(self.setup.optimisers)
        for one in found:
            if reason := able(one, self.problem):
                raise UserError("optimisers", f"{one.label} cannot race on {self.problem.name}: {reason}",
                                "leave it out")
        return found

    def _line_up(self) -> list[Runner]:
        """Everybody at the start, each with its rate."""
        trial = min(self.setup.trial, self.total)
        if self.rates is None:
            self.rates = [tuned(one, self.problem, self.start, self.tolerance, self.batch, trial)
                          if self.setup.tuned else None for one in self.entries]
        return [Runner(one, self.problem, self.start, self.tolerance, rate)
                for one, rate in zip(self.entries, self.rates, strict=True)]

    def batch(self, i: int) -> Tensor | None:
        """The examples of step i, the same for everybody; None for all of them."""
        n, size = self.problem.examples, self.setup.batch_size
        if not n or not 0 < size < n:
            return None
        epoch, k = divmod(i, n // size)
        order = torch.randperm(n, generator=generator(self.setup.seed, f"race/epoch {epoch}"))
        return order[k * size : (k + 1) * size]

    def step(self, i: int) -> Record:
        self.runners = self.runners or self._line_up()
        batch = self.batch(i)
        for runner in self.runners:
            runner.step(batch)
        heights = {name: runner.heights[-1] for name, runner in zip(self.names(), self.runners, strict=True)}
        return {"loss": min(heights.values()), **{f"loss_{name}": height for name, height in heights.items()},
                "arrived": sum(runner.arrived >= 0 for runner in self.runners),
                "thrown": sum(runner.thrown >= 0 for runner in self.runners),
                "evaluations": sum(runner.counts[-1] for runner in self.runners)}

    def names(self) -> list[str]:
        """The labels as names of scalars: adam, sgd_2 for a second one of the kind."""
        found: list[str] = []
        for one in self.entries:
            short = one.label.partition("(")[0].strip("'").lower()
            same = sum(name == short or name.startswith(f"{short}_") for name in found)
            found.append(f"{short}_{same + 1}" if short in found else short)
        return found

    def state(self) -> dict[str, Any]:
        return {"runners": [runner.state() for runner in self.runners]}

    def restore(self, state: dict[str, Any]) -> None:
        self.runners = []
        for one, kept in zip(self.entries, state["runners"], strict=False):
            rate = float(kept["rate"]) if self.setup.tuned and one.tunable else None
            self.runners.append(Runner(one, self.problem, self.start, self.tolerance, rate))
            self.runners[-1].restore(kept)

    def standings(self) -> list[dict[str, Any]]:
        """Who, at which rate, after how many steps and gradients (-1: not at all), how low; the first one first."""
        return [{"name": r.entry.label, "rate": None if math.isnan(r.rate) else r.rate, "steps_to_tolerance": r.arrived,
                 "gradients_to_tolerance": r.counts[r.arrived] if r.arrived >= 0 else -1,
                 "gradients": r.counts[-1], "height": r.heights[-1] - self.problem.lowest, "thrown_out": r.thrown}
                for r in drawing.ranked(self.runners or self._line_up())]

    def pictures(self) -> dict[str, np.ndarray]:
        """All paths on the map, the heights by step and by gradient, and the table."""
        runners = self.runners or self._line_up()
        return {"paths": drawing.paths_picture(self.problem, runners),
                "heights": drawing.heights_picture(self.problem, runners),
                "standings": drawing.table_picture(self.problem, runners)}

    def files(self) -> dict[str, bytes]:
        """race.gif, the animation; trajectories.json, for other programs; standings.csv, the table."""
        runners, rows = self.runners or self._line_up(), self.standings()
        table = [",".join(rows[0]), *(",".join(_cell(value) for value in row.values()) for row in rows)]
        return {"race.gif": drawing.animation(self.problem, runners),
                "trajectories.json": json.dumps(self._told(runners), allow_nan=False).encode(),
                "standings.csv": ("\n".join(table) + "\n").encode()}

    def _told(self, runners: Sequence[Runner]) -> dict[str, Any]:
        """What a browser needs to draw the race: the grid of heights (rows from the bottom), and each path in it."""
        plane = drawing.scene(self.problem, runners)
        x, y, heights = plane.grid(self.problem, 61)
        return {
            "function": self.problem.name, "title": self.problem.title, "window": list(map(float, plane.window)),
            "principal_directions": self.problem.window is None, "share_of_variance": plane.share,
            "grid": {"x": _rounded(x), "y": _rounded(y), "heights": [_rounded(row) for row in heights]},
            "start": _rounded(plane.seen(self.start.numpy()[None])[0]), "lowest": self.problem.lowest,
            "minima": [_rounded(place) for place in plane.seen(self.problem.minima.numpy())],
            "tolerance": self.tolerance,
            "runners": [{
                "name": r.entry.label, "method": r.entry.kind.__name__.lower(),
                "options": {k: v for k, v in r.entry.options.items() if isinstance(v, (bool, int, float, str, tuple))},
                "rate": None if math.isnan(r.rate) else r.rate,
                "path": [_rounded(place) for place in plane.seen(np.array(r.path))],
                "losses": _rounded(np.array(r.heights)), "gradients": list(r.counts),
                "steps_to_tolerance": r.arrived, "thrown_out": r.thrown} for r in runners],
        }  # fmt: skip


def finished(setup: "Setup") -> Race:
    """A race that has been run."""
    race = build(setup)
    for i in range(race.total):
        race.step(i)
    return race


def _start(setup: "Setup", own: Tensor) -> Tensor:
    start = torch.tensor(setup.start, dtype=torch.float64) if setup.start else own.clone()
    if start.shape != own.shape:
        raise UserError("start", f"{setup.function} needs {len(own)} numbers, not {len(start)}", "give for example 4,1")
    return start + setup.spread * torch.randn(len(own), generator=generator(setup.seed, "race/spread"),
                                              dtype=torch.float64)


def _rounded(values: np.ndarray) -> list[float]:
    """Seven digits: enough for a picture."""
    return [float(f"{value:.7g}") for value in values]


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)
    return f'"{text}"' if "," in text else text


def _descent(rate: float, steps: int) -> Runner:
    return finished(Setup(optimisers=f"sgd(lr={rate!r})", start=(4.0, 1.0), steps=steps)).runners[0]


def the_course_walk_is_its_closed_form() -> Check:
    """From (4, 1) at rate 0.18, 20 steps are 4 * 0.82^t and (-0.8)^t: the largest difference.

    Source: the course's first notebook; equation (2)
    """
    t = np.arange(21)
    known = np.stack([4 * 0.82**t, (-0.8) ** t], 1)
    return at_most(float(np.abs(np.array(_descent(0.18, 20).path) - known).max()), 1e-12)


def descent_arrives_when_foretold() -> Check:
    """At rate 0.18 plain descent comes within 1e-6 of the minimum after as many steps as (2) says: 41.

    Source: equations (1) and (2)
    """
    t = np.arange(200)
    known = int(np.argmax(8 * 0.82 ** (2 * t) + 5 * 0.8 ** (2 * t) <= 1e-6))
    return exactly(_descent(0.18, 60).arrived if known == 41 else -1, 41)


def at_a_fifth_it_alternates() -> Check:
    """At rate 0.2 the height y stays at 1, -1, 1, -1 for 100 steps: the largest difference.

    Source: the course's first notebook; (2) with 1 - 0.2 * 10 = -1
    """
    y = np.array(_descent(0.2, 100).path)[:, 1]
    return at_most(float(np.abs(y - (-1.0) ** np.arange(101)).max()), 1e-9)


def two_elevenths_shrinks_by_nine_elevenths() -> Check:
    """At rate 2/11 the distance shrinks by 9/11 in each of 40 steps, in every direction: the largest difference.

    Source: equation (3)
    """
    distance = np.linalg.norm(_descent(2 / 11, 40).path, axis=1)
    return at_most(float(np.abs(distance[1:] / distance[:-1] - 9 / 11).max()), 1e-9)


def momentum_wins_in_the_ravine() -> Check:
    """In the ravine (curvatures 1 and 100), each at its best rate, momentum needs at most 1/4 of descent's steps.

    Source: Polyak 1964: a step shrinks the distance by 9/11 instead of 99/101
    """
    best = f"sgd(lr={2 / 101!r}), sgd(lr={4 / 121!r}, momentum={81 / 121!r})"
    plain, heavy = finished(Setup(function="ravine", optimisers=best, steps=500)).runners
    return at_most(heavy.arrived / plain.arrived if min(heavy.arrived, plain.arrived) > 0 else math.inf, 0.25)


def one_who_is_thrown_out_stands_still() -> Check:
    """At rate 0.21 the walk leaves the race where 1.1^t passes the edge, and stands still: the number of that step.

    Source: equation (2), |1 - 10 * 0.21| = 1.1
    """
    r = _descent(0.21, 120)
    known = 1 + int(np.log(r.far) / np.log(1.1))
    still = all((place == r.path[-1]).all() for place in r.path[r.thrown :]) and np.isfinite(r.path).all()
    return exactly(r.thrown if still else -1, known)


def everybody_sees_the_same_examples() -> Check:
    """Two equal methods with mini-batches of 20 walk the same path of logistic regression: the largest difference.

    Source: batches are drawn from the seed and the number of the step alone
    """
    one, two = finished(Setup(function="logistic", optimisers="sgd(lr=0.3), sgd(lr=0.3)", batch_size=20,
                              steps=30)).runners
    return exactly(float(np.abs(np.array(one.path) - np.array(two.path)).max()), 0.0)


def the_saddle_is_left_when_foretold() -> Check:
    """From 0.001 beside the ridge, at rate 0.1, descent is 0.1 away from it after as many steps as 1.2^t says: 26.

    Source: the smallest curvature is -2; log 100 / log 1.2 = 25.3
    """
    r = finished(Setup(function="saddle", optimisers="sgd(lr=0.1)", steps=40)).runners[0]
    return exactly(int(np.argmax(np.abs(np.array(r.path)[:, 1]) > 0.1)), 26)


def a_step_may_cost_many_gradients() -> Check:
    """L-BFGS arrives on the bowl with its first step, for which it computes several gradients: at least 3.

    Source: a step of L-BFGS is up to 20 iterations
    """
    r = finished(Setup(optimisers="lbfgs(lr=1.0)", steps=6)).runners[0]
    return at_least(r.counts[1] if r.arrived == 1 else 0, 3)


def newton_needs_one_step() -> Check:
    """Newton's method is at the minimum of the bowl after 1 step of its full length, with 1 gradient.

    Source: the bowl is its own quadratic model
    """
    r = finished(Setup(optimisers="newton(lr=1.0)", steps=6)).runners[0]
    return exactly(r.counts[1] if r.arrived == 1 and r.heights[1] < 1e-20 else -1, 1)


def the_plane_shows_the_most() -> Check:
    """Of a network's 33 weights the drawn plane shows more of the paths' variance than any of 300 random planes.

    Source: principal components; Eckart and Young 1936
    """
    race = finished(Setup(function="mlp", optimisers="sgd(lr=0.5), adam(lr=0.05)", steps=30))
    plane = drawing.scene(race.problem, race.runners)
    points = np.concatenate([np.array(r.path) for r in race.runners]) - plane.middle
    draw = np.random.default_rng(0)
    planes = np.linalg.qr(draw.standard_normal((300, points.shape[1], 2)))[0]
    shares = np.square(points @ planes).sum((1, 2)) / np.square(points).sum()
    return at_least(plane.share - float(shares.max()), 0.0)


def no_rate_of_the_trial_is_better() -> Check:
    """For descent on the bowl the trial chooses the best rate of its grid: 0.2 stalls, 0.15 arrives first.

    Source: equation (3), 2/11 lies between them
    """
    race = Race(Setup(optimisers="sgd", trial=80, steps=80))
    race.step(0)
    return about(race.runners[0].rate, 0.15, 1e-12)


CARD = Card(
    name="Race of optimisers",
    name_ja="最適化手法の競走",
    paper="Cauchy 1847; Polyak 1964; Schmidt, Schneider and Hennig 2021, arXiv:2007.01547",
    equations=(
        r"f(w_t) - f^* \leq \mathrm{tolerance}",
        r"x_t = (1 - a)^t\,x_0,\quad y_t = (1 - 10 a)^t\,y_0",
        r"a = \frac{2}{11}:\quad |1 - a| = |1 - 10 a| = \frac{9}{11}",
    ),
    summary="Any optimisers race from one start on bowls, ravines, saddles, a regression and a network, each at its "
            "best rate: an animation, a map of all paths, and a table.",
    summary_ja="好きな最適化手法が、同じ初期点から、谷や鞍点、回帰、ネットワークの上を競走する。"
               "学習率は手法ごとに最良のものを選び、アニメーション、軌跡の地図、結果表を残す。",
    topics=("basics.gd-2d",),
    facts=(the_course_walk_is_its_closed_form, descent_arrives_when_foretold, at_a_fifth_it_alternates,
           two_elevenths_shrinks_by_nine_elevenths, momentum_wins_in_the_ravine, one_who_is_thrown_out_stands_still,
           everybody_sees_the_same_examples, the_saddle_is_left_when_foretold, a_step_may_cost_many_gradients,
           newton_needs_one_step, the_plane_shows_the_most, no_rate_of_the_trial_is_better),
    notes=("At exactly 0.2 the walk on x^2/2 + 5 y^2 neither converges nor diverges.",
           "A race tells about one function, one start and one rate each; the order changes with all of them. A rate "
           "that was chosen on the race itself is better than what anybody would know beforehand."),
    notes_ja=("x^2/2 + 5 y^2 の上で、学習率がちょうど 0.2 のとき、軌跡は収束も発散もしない。",
              "競走が語るのは、一つの関数、一つの初期点、一つの学習率についてだけで、順位はそのどれによっても変わる。"
              "競走そのもので選んだ学習率は、前もって知り得るものより良い。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Who races, where, and how long."""

    SIGNED = ("start",)
    function: Literal["bowl", "ravine", "rosenbrock", "beale", "himmelblau", "rastrigin", "saddle", "monkey_saddle",
                      "logistic", "mlp"] = "bowl"
    """the function; bowl is x^2/2 + 5 y^2, logistic and mlp are losses over examples"""
    optimisers: str = "sgd,momentum,nesterov,adagrad,rmsprop,adam"
    """names from shinso.optim, with options if wanted: sgd(lr=0.1, momentum=0.9),adam; or all"""
    steps: int = 0
    """steps of everybody; 0: the function's own number"""
    tolerance: float = 0.0
    """height above the minimum at which a method has arrived; 0: the function's own"""
    tuned: bool = True
    """whether each rate that is not given is chosen by a trial; else it is the method's own default"""
    trial: int = 200
    """most steps of such a trial"""
    start: tuple[float, ...] = ()
    """where everybody starts; empty: the function's own place"""
    spread: float = 0.0
    """standard deviation of a random shift of the start"""
    batch_size: int = 0
    """examples in a step of logistic or mlp; 0: all of them"""
    seed: int = 0
    """of examples, batches and shift"""


SIX = "sgd,momentum,adagrad,rmsprop,adam,lion"
VARIANTS = {
    "smoke": Setup(function="logistic", optimisers="momentum,adam,lion", steps=40, trial=8, batch_size=50),
    "default": Setup(),
    "ravine": Setup(function="ravine"),
    "rosenbrock": Setup(function="rosenbrock", optimisers=f"{SIX},nesterov,lbfgs,bfgs,newton"),
    "beale": Setup(function="beale", optimisers=SIX),
    "himmelblau": Setup(function="himmelblau", optimisers=SIX),
    "rastrigin": Setup(function="rastrigin", optimisers=SIX),
    "saddle": Setup(function="saddle", optimisers=SIX),
    "monkey-saddle": Setup(function="monkey_saddle", optimisers=SIX),
    "logistic": Setup(function="logistic", optimisers=SIX, batch_size=50),
    "mlp": Setup(function="mlp", optimisers=SIX),
    "everything": Setup(function="rosenbrock", optimisers="all"),
}


def build(setup: Setup, place: Place = Place()) -> Race:  # noqa: B008 - Place is frozen
    """Everybody at the start; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("trial",))
    if not all(math.isfinite(value) and value >= 0 for value in (setup.steps, setup.tolerance, setup.spread)):
        raise UserError("race", "steps, tolerance and spread are not negative", "give numbers from 0")
    return Race(setup)
