r"""Universal approximation: one hidden layer, built by hand, comes as close as one likes.

    F(x) = v_0 + sum_j v_j sigma(w (x - c_j)),  sigma(u) = 1 / (1 + e^-u)      (1)

One unit with a large w is a step at c. Two steps, one up and one down, are a bump of height 1,

    sigma(w (x - a)) - sigma(w (x - b))                                        (2)

and a row of bumps is a staircase: cut [0, 1] into m + 1 cells, take f at the middle p_j of each, and let v_j be the
rise f(p_j) - f(p_{j-1}) at the border c_j between two cells. No training and nothing solved. F(x) is a weighted mean
of the values f(p_j), because the differences of neighbouring sigmoids are positive and add up to 1; all but e^-s of
the weight lies on the cell of x and its neighbours, s being the steepness w / (m + 1), so that

    |F(x) - f(x)| <= max_{|x - y| <= 3 / (2 (m + 1))} |f(x) - f(y)| + 2 e^-s (max f - min f)     (3)

which tends to 0 for every continuous f. With the steps left where they are, but soft (w = 2m, c_j = (j + 1/2) / m),
and the heights v from least squares, the same m units do far better:

    v = argmin sum_x (F(x) - f(x))^2                                           (4)

The surprise is what the theorem does not say: a function with a jump keeps half of its jump as error however many
units there are, since F is continuous.

Cybenko 1989; Hornik 1991; Leshno, Lin, Pinkus, Schocken 1993 (every activation that is no polynomial).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import exp
from typing import Any, Literal, final

import numpy as np
import torch

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range

GRID = np.linspace(0, 1, 2001)
"""where errors are measured"""
STEEPNESS = 40.0
"""s of (3)"""
Function = Callable[[np.ndarray], np.ndarray]
FUNCTIONS: dict[str, Function] = {
    "sine": lambda x: np.sin(2 * np.pi * x),
    "tent": lambda x: 1 - np.abs(2 * x - 1),
    "square": lambda x: x**2,
    "waves": lambda x: np.sin(2 * np.pi * x) + 0.5 * np.sin(10 * np.pi * x),
    "root": np.sqrt,
    "jump": lambda x: (x > 1 / 3).astype(float),
}


def sigmoid(u: np.ndarray) -> np.ndarray:
    """sigma of (1), by tanh: no overflow however steep."""
    return 0.5 * (1 + np.tanh(0.5 * u))


def layer(x: np.ndarray, centres: np.ndarray, w: float) -> np.ndarray:
    """A constant and the hidden units at x (n,): (n, 1 + m)."""
    return np.hstack([np.ones((len(x), 1)), sigmoid(w * (x[:, None] - centres))])


def bump(x: np.ndarray, a: float, b: float, w: float) -> np.ndarray:
    """A step up at a and a step down at b."""
    return sigmoid(w * (x - a)) - sigmoid(w * (x - b))  # (2)


def staircase(f: Function, m: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Centres (m,), slope, and heights (1 + m,) of the network that needs no training."""
    middles = f((np.arange(m + 1) + 0.5) / (m + 1))
    return np.arange(1, m + 1) / (m + 1), STEEPNESS * (m + 1), np.append(middles[0], np.diff(middles))


def fitted(f: Function, m: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Centres (m,), slope 2m, and the heights of least squares on the grid."""
    centres = (np.arange(m) + 0.5) / m
    heights = np.linalg.lstsq(layer(GRID, centres, 2.0 * m), f(GRID), rcond=None)[0]  # (4)
    return centres, 2.0 * m, heights


def answer(x: np.ndarray, network: tuple[np.ndarray, float, np.ndarray]) -> np.ndarray:
    """F(x)."""
    centres, w, heights = network
    return layer(x, centres, w) @ heights  # (1)


def largest_error(f: Function, network: tuple[np.ndarray, float, np.ndarray]) -> float:
    """The greatest |F - f| on the grid."""
    return float(np.abs(answer(GRID, network) - f(GRID)).max())


def promised(f: Function, m: int) -> float:
    """The right side of (3): the modulus of continuity, on the grid with one cell of it to spare."""
    y, reach = f(GRID), int(np.ceil(1.5 / (m + 1) * (len(GRID) - 1))) + 1
    swing = max(float(np.abs(y[k:] - y[:-k]).max()) for k in range(1, min(reach, len(y) - 1) + 1))
    return swing + 2 * exp(-STEEPNESS) * float(np.ptp(y))


@final
class Approximation:
    """Step i builds the networks of i + 1 hidden units."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.units
        self.f = drawn(setup.seed) if setup.function == "drawn" else FUNCTIONS[setup.function]
        self.done = 0

    def step(self, i: int) -> Record:
        self.done = i + 1
        by_hand, best = staircase(self.f, i + 1), fitted(self.f, i + 1)
        away = answer(GRID, best) - self.f(GRID)
        return {"loss": float((away**2).mean()), "units": float(i + 1), "error_fitted": float(np.abs(away).max()),
                "error_by_hand": largest_error(self.f, by_hand), "error_by_hand_bound": promised(self.f, i + 1)}

    def state(self) -> dict[str, Any]:
        return {"done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        self.done = int(state["done"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The function with both networks over it and their bumps below, and the error by number of units."""
        return {"bumps": _bumps(self.f, max(self.done, 2)), "units": _errors(self.f, max(self.done, 2))}


@cache
def drawn(seed: int) -> Function:
    """A smooth random function: five sine waves of falling height."""
    heights, phases = torch.rand(2, 5, generator=generator(seed, "waves"), dtype=torch.float64).numpy()
    k = np.arange(1, 6)

    def waves(x: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * (x[:, None] * k + phases)) @ (heights / k)

    return waves


def _bumps(f: Function, units: int) -> np.ndarray:
    figure = sheet(900, 640)
    grid = figure.subplots(2, 2, sharex=True)
    for column, m in zip(grid.T, (min(8, units), min(32, units)), strict=True):
        by_hand, best = staircase(f, m), fitted(f, m)
        column[0].plot(GRID, f(GRID), color=GREY, linewidth=3, alpha=0.6, label="f")
        column[0].plot(GRID, answer(GRID, by_hand), color=ORANGE, label="by hand / 手で配置 (3)")
        column[0].plot(GRID, answer(GRID, best), color=BLUE, linestyle="--", label="least squares / 最小二乗 (4)")
        quiet(column[0], f"m = {m}")
        column[0].legend(frameon=False, fontsize=9)
        borders = np.concatenate([[-1.0], by_hand[0], [2.0]])
        for k, (a, b) in enumerate(pairwise(borders)):
            height = float(by_hand[2][: k + 1].sum())
            column[1].fill_between(GRID, height * bump(GRID, float(a), float(b), by_hand[1]), alpha=0.45,
                                   color=(ORANGE, GREEN)[k % 2])
        quiet(column[1], "its bumps / こぶに分けると (2)", "x")
    return pixels(figure)


def _errors(f: Function, units: int) -> np.ndarray:
    figure = sheet(800, 380)
    axes = figure.subplots()
    m = np.unique(np.geomspace(1, max(units, 2), 24).astype(int))
    axes.loglog(m, [promised(f, int(k)) for k in m], color=RED, linewidth=1, label="bound / 上界 (3)")
    axes.loglog(m, [largest_error(f, staircase(f, int(k))) for k in m], "o-", color=ORANGE, markersize=4,
                label="by hand / 手で配置")
    axes.loglog(m, [largest_error(f, fitted(f, int(k))) for k in m], "o-", color=BLUE, markersize=4,
                label="least squares / 最小二乗 (4)")
    quiet(axes, "largest error / 最大誤差", "hidden units m / 中間ユニットの数").legend(frameon=False)
    return pixels(figure)


COUNTS = (2, 4, 8, 16, 32)


def two_steps_make_a_bump() -> Check:
    """(2) with a = 0.25, b = 0.75 and w = 400 is 1 at 0.5 and 0 at 0 and 1: the largest difference.

    Source: Cybenko 1989, as drawn in the course
    """
    values = bump(np.array([0.0, 0.5, 1.0]), 0.25, 0.75, 400.0)
    return at_most(float(np.abs(values - [0, 1, 0]).max()), 1e-12)


def the_error_falls_with_every_doubling() -> Check:
    """For sin(2 pi x) the largest error of (4) falls from 2 to 4, 8, 16 and 32 units: the largest ratio of two.

    Source: Cybenko 1989
    """
    errors = [largest_error(FUNCTIONS["sine"], fitted(FUNCTIONS["sine"], m)) for m in COUNTS]
    return at_most(max(b / a for a, b in pairwise(errors)), 0.9)


def thirty_two_units_come_within_a_hundredth() -> Check:
    """With 32 units, slopes 2m and centres (j + 1/2)/m, the largest error on sin(2 pi x) is below 1e-2.

    Source: Cybenko 1989
    """
    return at_most(largest_error(FUNCTIONS["sine"], fitted(FUNCTIONS["sine"], 32)), 1e-2)


def the_staircase_keeps_its_promise() -> Check:
    """For five continuous functions and a drawn one, 1 to 64 units by hand: error / bound of (3) never passes 1.

    Source: equation (3)
    """
    functions = [f for name, f in FUNCTIONS.items() if name != "jump"] + [drawn(0)]
    return at_most(max(largest_error(f, staircase(f, m)) / promised(f, m)
                       for f in functions for m in (1, 2, 5, 11, 32, 64)), 1.0)


def every_function_is_reached() -> Check:
    """By hand 512 units come within 0.05 of every one of them: the largest error.

    Source: Cybenko 1989; Hornik 1991
    """
    functions = [f for name, f in FUNCTIONS.items() if name != "jump"] + [drawn(0)]
    return at_most(max(largest_error(f, staircase(f, 512)) for f in functions), 0.05)


def a_jump_is_not_reached() -> Check:
    """Near a jump of height 1 the error stays at least 0.45 with 2 to 256 units by hand: the smallest.

    Source: the theorem speaks of continuous functions on a compact set, not of any function
    """
    x = 1 / 3 + np.array([-1e-9, 1e-9])
    jump = FUNCTIONS["jump"]
    return at_least(min(float(np.abs(answer(x, staircase(jump, m)) - jump(x)).max()) for m in (2, 8, 32, 128, 256)),
                    0.45)


CARD = Card(
    name="Universal approximation",
    name_ja="万能近似",
    paper="Cybenko 1989, doi:10.1007/BF02551274; Hornik 1991; Leshno et al. 1993",
    equations=(
        r"F(x) = v_0 + \sum_j v_j\,\sigma(w (x - c_j))",
        r"\sigma(w(x - a)) - \sigma(w(x - b))",
        r"|F(x) - f(x)| \le \max_{|x-y| \le 3/(2(m+1))} |f(x) - f(y)| + 2 e^{-s} (\max f - \min f)",
        r"v = \mathrm{argmin} \sum_x (F(x) - f(x))^2",
    ),
    summary="Steps and bumps placed by hand come as close as one likes to any continuous function, within a bound.",
    summary_ja="手で並べた段とこぶだけで、どんな連続関数にもいくらでも近づける。誤差の上界も証明されている。",
    topics=("basics.universal-approximation",),
    facts=(
        two_steps_make_a_bump,
        the_error_falls_with_every_doubling,
        thirty_two_units_come_within_a_hundredth,
        the_staircase_keeps_its_promise,
        every_function_is_reached,
        a_jump_is_not_reached,
    ),
    notes=("A document says that any function is approximated: the theorem says any continuous function on a compact "
           "set; near a jump half of it remains.",
           "It cites 'Cybenko+ 1989'; the paper has one author. Its formula is that of a linear output unit, as here."),
    notes_ja=("ある資料は任意の関数を近似できると言うが、定理が述べるのはコンパクト集合上の連続関数。跳びのそばでは半分が残る。",
              "「Cybenko+ 1989」と引用されるが、著者は一人。式は、ここと同じく線形の出力ユニットのもの。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is approximated, and with how many units."""

    function: Literal["sine", "tent", "square", "waves", "root", "jump", "drawn"] = "sine"
    """the function on 0 to 1; drawn: five random sine waves"""
    units: int = 64
    """hidden units of the last network; step i builds that of i + 1"""
    seed: int = 0
    """of the drawn function"""


VARIANTS = {
    "smoke": Setup(function="drawn", units=40),
    "default": Setup(),
    "waves": Setup(function="waves", units=128),
    "jump": Setup(function="jump"),
}


def build(setup: Setup, place: Place = Place()) -> Approximation:  # noqa: B008 - Place is frozen
    """The sequence of networks; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("units",))
    return Approximation(setup)
