r"""Flat minima: where the noise of descent likes to stay, and why the answer depends on the noise (Keskar et al. 2017).

    x <- x - a g_b(x),   g_b = F'(x) + the mean of b deviations of variance s^2 c(x)^2                 (1)

A small step with many deviations is nearly Langevin's at the temperature T = a s^2 / (2 b). With the same noise
everywhere, c = 1, walkers in two wells of equal depth with curvatures l_1 and l_2 settle at

    p(x) ~ exp(-F(x) / T),    time in well 1 / time in well 2 -> (l_2 / l_1)^(1/2)                     (2)

A kink divides the two wells of this file at the height H, so each is a parabola up to the same height, and (2) holds at
every temperature, not only for T -> 0: five to one for curvatures 1 and 25. The law of one step on a grid,

    p_{k+1}(y) = sum_x p_k(x) N(y; x - a F'(x), 2 a T c(x)^2)                                          (3)

foretells the crowd at every step. The surprise: the noise of real losses grows with the curvature. For c(x)^2 ~ F''
law (2) is no longer true, and the flat well wins by a hundred to one. That descent prefers flat minima is a
statement about its noise, not about the loss alone. Hochreiter and Schmidhuber 1997; Jastrzebski et al. 2017.
"""

from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREEN, GREY, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range

HEIGHT = 1.0
"""depth of both wells below the ridge"""
WIDE = 1.0
"""curvature of the left well"""


@dataclass(frozen=True)
class Wells:
    """F of two wells of equal depth that meet in a kink at 0, and the noise at each place."""

    sharp: float
    follows: bool
    """whether the variance of a gradient is proportional to the curvature"""

    def curvature(self, x: Tensor) -> Tensor:
        """F''(x)."""
        return torch.where(x < 0, WIDE, self.sharp).to(x)

    def bottom(self, x: Tensor) -> Tensor:
        """The minimum of the well in which x is: (2 HEIGHT / curvature)^(1/2) from the kink."""
        side = torch.where(x < 0, -1.0, 1.0).to(x)
        return side * (2 * HEIGHT / self.curvature(x)).sqrt()

    def height(self, x: Tensor) -> Tensor:
        """F(x)."""
        return 0.5 * self.curvature(x) * (x - self.bottom(x)) ** 2

    def slope(self, x: Tensor) -> Tensor:
        """F'(x)."""
        return self.curvature(x) * (x - self.bottom(x))

    def scale(self, x: Tensor) -> Tensor:
        """Standard deviation of a gradient, as a multiple of that in the left well."""
        return (self.curvature(x) / WIDE).sqrt() if self.follows else torch.ones_like(x)


def deviations(n: int, temperature: float, lr: float, batch_size: int, seed: int) -> Tensor:
    """What n examples add to the gradient, (n,): mean 0, exact variance s^2 = 2 b T / a; skewed, as real ones are."""
    drawn = -torch.rand(n, generator=generator(seed, "examples"), dtype=torch.float64).log()
    drawn = drawn - drawn.mean()
    return drawn / drawn.square().mean().sqrt() * sqrt(2 * batch_size * temperature / lr)


def step(wells: Wells, x: Tensor, each: Tensor, lr: float, batch_size: int, draw: torch.Generator) -> Tensor:
    """(1) for every walker of x (N,), each with a batch of its own, drawn with putting back from `each` (n,)."""
    rows = torch.randint(len(each), (batch_size, len(x)), generator=draw)
    return x - lr * (wells.slope(x) + wells.scale(x) * each[rows].mean(0))  # (1)


def langevin(wells: Wells, x: Tensor, lr: float, temperature: float, draw: torch.Generator) -> Tensor:
    """The same with exactly normal noise of the same variance."""
    noise = torch.randn(len(x), generator=draw, dtype=x.dtype)
    return x - lr * wells.slope(x) + (2 * lr * temperature) ** 0.5 * wells.scale(x) * noise


@cache
def grid_law(wells: Wells, lr: float, temperature: float, cells: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """The law of one Langevin step on a grid: places (cells,) and the chances to go from one to another.

    The noise is that of the place before the step, as in (1). The grid reaches six deviations beyond the minima.
    """
    from scipy.special import ndtr

    jump = sqrt(2 * lr * temperature) * (sqrt(wells.sharp / WIDE) if wells.follows else 1)
    far = sqrt(2 * HEIGHT / WIDE) + 6 * sqrt(temperature / WIDE)
    right = sqrt(2 * HEIGHT / wells.sharp) + 4 * jump + 6 * sqrt(temperature / wells.sharp)
    width = (far + right) / cells
    x = width * (np.arange(cells) - round(far / width) + 0.5)  # no cell lies across the kink
    here = torch.from_numpy(x)
    ahead = (here - lr * wells.slope(here)).numpy()
    spread = sqrt(2 * lr * temperature) * wells.scale(here).numpy()
    edges = np.concatenate([[-np.inf], (x[1:] + x[:-1]) / 2, [np.inf]])
    return x, np.diff(ndtr((edges - ahead[:, None]) / spread[:, None]), axis=1)


@cache
def _stride_law(wells: Wells, lr: float, temperature: float, stride: int) -> np.ndarray:
    return np.linalg.matrix_power(grid_law(wells, lr, temperature)[1], stride)


def settled(wells: Wells, lr: float, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Grid and stationary chances of `grid_law`."""
    x, P = grid_law(wells, lr, temperature)
    system = np.vstack([P.T - np.eye(len(x)), np.ones(len(x))])
    return x, np.linalg.lstsq(system, np.append(np.zeros(len(x)), 1.0), rcond=None)[0]


@final
class Crowd:
    """Walkers that start in the sharp well; one step of the program is `stride` steps (1)."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        self.wells = Wells(setup.sharp, setup.noise == "curvature")
        self.each = deviations(setup.examples, setup.temperature, setup.lr, setup.batch_size, setup.seed)
        self.x = self.wells.bottom(torch.ones(setup.walkers, dtype=torch.float64))
        self.draw = generator(setup.seed, "batches")
        self.grid = grid_law(self.wells, setup.lr, setup.temperature)[0]
        self.law = np.zeros(len(self.grid))
        self.law[np.abs(self.grid - float(self.x[0])).argmin()] = 1
        self.rows: list[tuple[float, float]] = []

    def step(self, i: int) -> Record:
        for _ in range(self.setup.stride):
            self.x = step(self.wells, self.x, self.each, self.setup.lr, self.setup.batch_size, self.draw)
        self.law = self.law @ _stride_law(self.wells, self.setup.lr, self.setup.temperature, self.setup.stride)
        measured, predicted = float((self.x < 0).double().mean()), float(self.law[self.grid < 0].sum())
        within = 5 * sqrt(predicted * (1 - predicted) / len(self.x)) + 0.03  # 0.03: batches are not quite normal
        self.rows.append((measured, predicted))
        return {"measured": measured, "predicted": predicted, "within": within,
                "loss": float(self.wells.height(self.x).mean())}

    def state(self) -> dict[str, Any]:
        return {"x": self.x.clone(), "draw": self.draw.get_state(), "law": self.law,
                "rows": [list(row) for row in self.rows]}

    def restore(self, state: dict[str, Any]) -> None:
        self.x = state["x"].clone()
        self.draw.set_state(state["draw"])
        self.law = np.array(state["law"])
        self.rows = [(float(a), float(b)) for a, b in state["rows"]]

    def pictures(self) -> dict[str, np.ndarray]:
        """Where the walkers are, and how they came there."""
        return {"walkers": _walkers(self)}


def _walkers(program: Crowd) -> np.ndarray:
    setup, wells = program.setup, program.wells
    figure = sheet(1000, 420)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    x, chances = settled(wells, setup.lr, setup.temperature)
    width = x[1] - x[0]
    seen = chances > 1e-5 * chances.max()
    low, high = x[seen][0], x[seen][-1]
    left.hist(program.x.numpy(), bins=70, range=(low, high), density=True, color=BLUE, alpha=0.35,
              label="walkers / 粒子")
    left.plot(x[seen], chances[seen] / width, color=RED, linewidth=1.8, label="predicted / 予測")
    scale = 0.55 * left.get_ylim()[1] / max(2.0 * HEIGHT, setup.temperature)
    grid = torch.linspace(low, high, 400, dtype=torch.float64)
    low_part = grid[wells.height(grid) < 2 * HEIGHT]
    left.plot(low_part, wells.height(low_part) * scale, color=GREY, linestyle="--", label="F(x)")
    quiet(left, f"after {len(program.rows) * setup.stride} steps / ステップ後", "x").legend(frameon=False)
    left.set_yticks([])
    moves = np.arange(1, len(program.rows) + 1) * setup.stride
    found = np.array(program.rows)
    right.plot(moves, found[:, 1], color=RED, linewidth=1.8, label="predicted / 予測")
    right.plot(moves, found[:, 0], "o", color=BLUE, markersize=4, label="measured / 測定")
    limit = sqrt(setup.sharp / WIDE)
    right.axhline(limit / (1 + limit), color=GREEN, linestyle=":", linewidth=2, label=f"{limit:g} : 1, (2)")
    quiet(right, "share in the wide well / 広い谷にいる割合", "step / ステップ").set_ylim(0, 1.03)
    right.legend(frameon=False, loc="lower right")
    return pixels(figure)


def _ratio(*, follows: bool, batch_size: int, seed: int = 0) -> float:
    """Time in the wide well over time in the sharp one: 1,500 walkers from the sharp one, half of 3,600 steps."""
    wells, lr, T = Wells(25.0, follows), 0.004, 0.7
    draw, each = generator(seed, "walk"), deviations(1000, T, lr, max(batch_size, 1), seed)
    x, share = wells.bottom(torch.ones(1500, dtype=torch.float64)), []
    for i in range(3600):
        x = step(wells, x, each, lr, batch_size, draw) if batch_size else langevin(wells, x, lr, T, draw)
        if i >= 1800 and i % 20 == 0:
            share.append(float((x < 0).double().mean()))
    wide = float(np.mean(share))
    return wide / (1 - wide)


def langevin_stays_five_times_longer() -> Check:
    """With curvatures 1 and 25, normal noise and rate 0.004, the time in the wide well is 5 times the other, to 15 %.

    Source: equation (2): the square root of 25
    """
    return about(_ratio(follows=False, batch_size=0), 5.0, 0.75)


def small_steps_reach_the_five_exactly() -> Check:
    """For rate 0.0005 the grid law of the same walk gives the ratio 5 within 1 percent.

    Source: equation (2) as the rate goes to 0
    """
    x, chances = settled(Wells(25.0, False), 0.0005, 0.7)
    wide = float(chances[x < 0].sum())
    return about(wide / (1 - wide), 5.0, 0.05)


def descent_with_batches_prefers_it_too() -> Check:
    """Descent with batches of 8 skewed examples spends at least 4 times as long in the wider well.

    Source: Keskar et al. 2017, section 2; equation (2)
    """
    return at_least(_ratio(follows=False, batch_size=8), 4.0)


def noise_that_follows_the_curvature_prefers_it_far_more() -> Check:
    """If the variance of a gradient is proportional to the curvature, the ratio is at least 50 instead of 5.

    Source: state-dependent noise, which (2) leaves out
    """
    return at_least(_ratio(follows=True, batch_size=8), 50.0)


def the_crowd_follows_the_grid_law() -> Check:
    """Over 3,000 steps of 1,000 walkers with normal noise the share in the wide well stays near (3): worst difference.

    Source: equation (3); five standard errors are 0.08
    """
    wells, draw = Wells(25.0, False), generator(0, "law")
    x, P = grid_law(wells, 0.004, 0.7)
    P, law = np.linalg.matrix_power(P, 100), np.zeros(len(x))
    crowd, off = wells.bottom(torch.ones(1000, dtype=torch.float64)), 0.0
    law[np.abs(x - float(crowd[0])).argmin()] = 1
    for _ in range(30):
        for _ in range(100):
            crowd = langevin(wells, crowd, 0.004, 0.7, draw)
        law = law @ P
        off = max(off, abs(float((crowd < 0).double().mean()) - float(law[x < 0].sum())))
    return at_most(off, 0.08)


CARD = Card(
    name="Flat and sharp minima",
    name_ja="平坦な極小と鋭い極小",
    paper="Keskar et al. 2017, arXiv:1609.04836; Hochreiter and Schmidhuber 1997, Flat minima, Neural Computation 9",
    equations=(
        r"x \leftarrow x - a\,g_b(x),\quad g_b = F'(x) + \frac{1}{b}\sum_{i \in B} \xi_i\,c(x)",
        r"p(x) \propto e^{-F(x)/T},\quad \frac{t_1}{t_2} \rightarrow \sqrt{\lambda_2 / \lambda_1}",
        r"p_{k+1}(y) = \sum_x p_k(x)\,N(y;\, x - a F'(x),\, 2aT\,c(x)^2)",
    ),
    summary="A crowd of walkers leaves the sharp minimum for the flat one at the rate that a law on a grid foretells.",
    summary_ja="粒子の群れが、鋭い極小を出て平坦な極小へ移る。その速さは、格子の上の法則が一歩ごとに予言する。",
    topics=("theory.flat-minima",),
    facts=(langevin_stays_five_times_longer, small_steps_reach_the_five_exactly, the_crowd_follows_the_grid_law,
           descent_with_batches_prefers_it_too, noise_that_follows_the_curvature_prefers_it_far_more),
    notes=("The picture of a random walk that prefers flat wells by (2) assumes the same noise everywhere; that of "
           "descent on data depends on the place.",
           "Langevin's law needs a small step: at rate 0.01 the ratio is 5.56 instead of 5, and from 0.08 on "
           "nobody can stay in the sharp well.",
           "Flatness depends on how a network is written down (Dinh et al. 2017): theory.reparametrisation."),
    notes_ja=("式 (2) のように平坦な谷を好むというランダムウォークの説明は、どこでも同じ雑音を仮定している。"
              "データでの勾配降下の雑音は場所によって変わる。",
              "Langevin の法則には小さい学習率が要る。0.01 では比は 5 ではなく 5.56 になり、"
              "0.08 以上では誰も鋭い谷にとどまれない。",
              "平坦さはネットワークの書き方に依存する (Dinh et al. 2017)。theory.reparametrisation を参照。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A crowd in two wells, and the data whose batches shake it."""

    noise: Literal["constant", "curvature"] = "constant"
    """constant: the same everywhere; curvature: its variance grows with the curvature"""
    sharp: float = 25.0
    """curvature of the right well; the left one has 1"""
    temperature: float = 0.7
    """T, with the ridge at height 1"""
    lr: float = 0.004
    """learning rate a in (1)"""
    batch_size: int = 64
    """examples b of a batch"""
    examples: int = 1000
    """examples, whose deviations are skewed"""
    walkers: int = 2000
    """walkers, each with batches of its own"""
    stride: int = 40
    """steps (1) from one record to the next"""
    steps: int = 75
    """records"""
    seed: int = 0
    """of the examples and the batches"""


VARIANTS = {"smoke": Setup(walkers=400, batch_size=16, stride=20, steps=60), "default": Setup(),
            "follows-curvature": Setup(noise="curvature")}


def build(setup: Setup, place: Place = Place()) -> Crowd:  # noqa: B008 - a frozen value
    """The crowd in the sharp well, in float64 on the CPU."""
    in_range(setup, ("sharp", "temperature", "lr", "batch_size", "examples", "walkers", "stride", "steps"))
    if setup.lr * max(setup.sharp, WIDE) >= 2:
        raise UserError("lr", f"{setup.lr} times the curvature {max(setup.sharp, WIDE):g} is not below 2",
                        "take a smaller rate: nobody could stay in that well")
    return Crowd(setup)
