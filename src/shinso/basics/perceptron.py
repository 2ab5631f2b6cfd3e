r"""The perceptron: one unit that fires, and the rule that teaches it from its mistakes.

Written with a constant input, z = (x, 1) and w = (w_1, ..., w_d, b), the unit answers

    y = H(w . z),  H(u) = 1 if u >= 0, else 0                                  (1)

so its boundary w . z = 0 is a straight line (a plane). Rosenblatt's rule shows it one example after the other and
moves only when the answer is wrong, with t = +1 for class 1 and t = -1 for class 0:

    w <- w + t z   if y is wrong                                               (2)

The surprise: no step size and no stopping rule are needed. If some line separates the classes, the number of mistakes
is at most

    (R / gamma)^2,  R = max |z|,  gamma = max_{|w|=1} min t (w . z)            (3)

however many examples there are and in whatever order they come. gamma is exact here: it is the distance from the
origin to the convex hull of the points t z (4), found by Wolfe's algorithm. If the origin lies in that hull the
inequalities t (w . z) > 0 add up to 0 > 0, and no line exists: XOR. Then (2) never ends, but its weights stay bounded.

Rosenblatt 1958 (report 1957); Novikoff 1962 (3); Minsky and Papert 1969 (XOR, bounded weights); Wolfe 1976; Cover 1965.
"""

from dataclasses import dataclass
from itertools import product
from math import comb, fsum, sqrt
from typing import Any, Literal, final

import numpy as np
import torch

from shinso.basics._hull import nearest_to_origin
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator

TRUTH = np.array(list(product((0.0, 1.0), repeat=2)))
"""the four inputs (0, 0), (0, 1), (1, 0), (1, 1)"""
TABLES = {"and": (0, 0, 0, 1), "or": (0, 1, 1, 1), "nand": (1, 1, 1, 0), "xor": (0, 1, 1, 0)}


def drive(w: np.ndarray, z: np.ndarray) -> np.ndarray:
    """w . z for inputs z (..., d + 1) with their constant 1."""
    return z @ w


def fires(w: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(1): bool (...); exactly on the line the unit fires."""
    return drive(w, z) >= 0


def with_one(x: np.ndarray) -> np.ndarray:
    """x (..., d) with the constant input appended: (..., d + 1)."""
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)


def shown(w: np.ndarray, z: np.ndarray, *, target: bool) -> tuple[np.ndarray, bool]:
    """The weights after one example (2), and whether it was a mistake."""
    if fires(w, z) == target:
        return w, False
    return w + z if target else w - z, True


def learn(z: np.ndarray, targets: np.ndarray, sweeps: int) -> tuple[np.ndarray, int, bool]:
    """Weights, number of mistakes, and whether a whole sweep passed without one, from zero weights."""
    w, mistakes = np.zeros(z.shape[1]), 0
    for _ in range(sweeps):
        before = mistakes
        for example, target in zip(z, targets, strict=True):
            w, wrong = shown(w, example, target=bool(target))
            mistakes += wrong
        if mistakes == before:
            return w, mistakes, True
    return w, mistakes, False


def signed(z: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """t z: every example turned so that a separating w has a positive product with it."""
    return np.where(targets[:, None], z, -z)


def mistake_bound(z: np.ndarray, targets: np.ndarray) -> float | None:
    """(R / gamma)^2, or None where no line separates the classes."""
    gamma = float(np.linalg.norm(nearest_to_origin(signed(z, targets))))
    return float((z**2).sum(1).max()) / gamma**2 if gamma > 0 else None  # (3), (4)


def intercepts(w: np.ndarray) -> tuple[float, float]:
    """Where the line w_1 x_1 + w_2 x_2 + b = 0 crosses the two axes."""
    return -w[2] / w[0], -w[2] / w[1]


@final
class Perceptron:
    """One step shows one example, in a fixed order, sweep after sweep."""

    def __init__(self, setup: "Setup"):
        self.setup = setup
        self.x, self.targets = _world(setup, "train")
        self.z = with_one(self.x)
        self.w, self.mistakes = np.zeros(self.z.shape[1]), 0
        self.total = setup.epochs * len(self.z)
        self.rhythm = len(self.z)
        self.bound = mistake_bound(self.z, self.targets)

    def step(self, i: int) -> Record:
        k = i % len(self.z)
        self.w, wrong = shown(self.w, self.z[k], target=bool(self.targets[k]))
        self.mistakes += wrong
        margin = float((signed(self.z, self.targets) @ self.w).min()) / max(float(np.linalg.norm(self.w)), 1e-300)
        record = {"loss": float((fires(self.w, self.z) != self.targets).mean()), "mistakes": float(self.mistakes),
                  "margin": margin, "weight_norm": float(np.linalg.norm(self.w))}
        return record if self.bound is None else {**record, "mistakes_bound": self.bound}

    def evaluate(self, split: str) -> Record:
        """Share of wrong answers on new points of the same world; a truth table is its own judge."""
        x, targets = _world(self.setup, split)
        wrong = float((fires(self.w, with_one(x)) != targets).mean())
        return {"loss": wrong, "accuracy": 1 - wrong}

    def state(self) -> dict[str, Any]:
        return {"w": self.w, "mistakes": self.mistakes}

    def restore(self, state: dict[str, Any]) -> None:
        self.w, self.mistakes = np.array(state["w"]), int(state["mistakes"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The signed distance of every point from the boundary; in the plane also the boundary itself."""
        drawn = {"distances": _distances(self.w, self.z, self.targets)}
        return {"line": _line(self.w, self.x, self.targets), **drawn} if self.x.shape[1] == 2 else drawn


def _world(setup: "Setup", split: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, d) and bool targets (n,); for `separable` points on both sides of a hidden plane, kept off it."""
    if setup.problem != "separable":
        return TRUTH, np.array(TABLES[setup.problem], dtype=bool)
    draw = generator(setup.seed, "teacher")
    normal = torch.randn(setup.dimension, generator=draw, dtype=torch.float64)
    normal, offset = normal / normal.norm(), 0.3 * torch.randn((), generator=draw, dtype=torch.float64)
    x = torch.randn(setup.points, setup.dimension, generator=generator(setup.seed, f"points/{split}"),
                    dtype=torch.float64)
    targets = x @ normal + offset >= 0
    x = x + setup.margin * torch.where(targets, 1.0, -1.0)[:, None] * normal
    return x.numpy(), targets.numpy()


def _line(w: np.ndarray, x: np.ndarray, targets: np.ndarray) -> np.ndarray:
    low, high = x.min(0) - 0.5, x.max(0) + 0.5
    across, up = np.meshgrid(np.linspace(low[0], high[0], 300), np.linspace(low[1], high[1], 300))
    answers = fires(w, with_one(np.stack([across, up], -1)))
    wrong = fires(w, with_one(x)) != targets
    figure = sheet(480, 480)
    axes = figure.subplots()
    axes.pcolormesh(across, up, answers, cmap="coolwarm", vmin=-0.6, vmax=1.6, alpha=0.35, rasterized=True)
    axes.scatter(*x[targets].T, c="tab:red", marker="o", label="class 1")
    axes.scatter(*x[~targets].T, c="tab:blue", marker="s", label="class 0")
    axes.scatter(*x[wrong].T, s=180, facecolors="none", edgecolors="black", label="wrong")
    axes.set(xlabel="x1", ylabel="x2", title=f"{int(wrong.sum())} of {len(x)} wrong")
    axes.legend(loc="lower left")
    return pixels(figure)


def _distances(w: np.ndarray, z: np.ndarray, targets: np.ndarray) -> np.ndarray:
    far = z @ w / max(float(np.linalg.norm(w[:-1])), 1e-300)
    order = np.arange(len(z))
    figure = sheet(600, 300)
    axes = figure.subplots()
    axes.axvline(0, color="0.4")
    axes.scatter(far[targets], order[targets], c="tab:red", marker="o", label="class 1")
    axes.scatter(far[~targets], order[~targets], c="tab:blue", marker="s", label="class 0")
    axes.set(xlabel="signed distance from the boundary", ylabel="example")
    axes.legend()
    return pixels(figure)


def _random_sets(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    setups = [Setup(problem="separable", points=25, dimension=1 + k % 4, margin=0.2, seed=k) for k in range(count)]
    return [(with_one(x), t) for x, t in (_world(setup, "train") for setup in setups)]


def forward_is_the_dot_product() -> Check:
    """w . z differs from the exactly rounded sum of products by at most 1e-12, over 1,000 draws of 50 inputs.

    Source: Rosenblatt 1958; McCulloch and Pitts 1943
    """
    draw = torch.randn(1000, 2, 50, generator=generator(0, "dot"), dtype=torch.float64).numpy()
    exact = [fsum(a * b for a, b in zip(w, z, strict=True)) for w, z in draw]
    return at_most(max(abs(float(drive(w, z)) - s) for (w, z), s in zip(draw, exact, strict=True)), 1e-12)


def and_or_nand_are_learned() -> Check:
    """AND, OR and NAND are learned with at most (R / gamma)^2 mistakes each: the largest share of the bound used.

    Source: Novikoff 1962
    """
    share = 0.0
    for name in ("and", "or", "nand"):
        z, targets = with_one(TRUTH), np.array(TABLES[name], dtype=bool)
        w, mistakes, done = learn(z, targets, sweeps=100)
        bound = mistake_bound(z, targets)
        right = done and bound is not None and bool((fires(w, z) == targets).all())
        share = max(share, mistakes / bound) if right and bound else np.inf
    return at_most(share, 1.0)


def mistakes_stay_under_the_bound() -> Check:
    """On 200 random separable sets all is learned, and mistakes / (R / gamma)^2 with the exact gamma never pass 1.

    Source: Novikoff 1962
    """
    shares = []
    for z, targets in _random_sets(200):
        _, mistakes, done = learn(z, targets, sweeps=2000)
        bound = mistake_bound(z, targets)
        shares.append(mistakes / bound if done and bound else np.inf)
    return at_most(max(shares), 1.0)


def the_margin_is_exact() -> Check:
    """The hull's nearest point p and the separator p / |p| agree on gamma: the largest relative gap over 200 sets.

    Source: duality of margin and hull, Wolfe 1976
    """
    gaps = []
    for z, targets in _random_sets(200):
        points = signed(z, targets)
        p = nearest_to_origin(points)
        gamma = float(np.linalg.norm(p))
        gaps.append(1 - float((points @ p).min()) / gamma**2)
    return at_most(max(gaps), 1e-9)


def fourteen_of_sixteen() -> Check:
    """Of the 16 Boolean functions of two inputs 14 are separable.

    Source: Minsky and Papert 1969
    """
    tables = [np.array(t, dtype=bool) for t in product((0, 1), repeat=4)]
    return exactly(sum(mistake_bound(with_one(TRUTH), t) is not None for t in tables), 14)


def xor_is_a_contradiction() -> Check:
    """For XOR and XNOR the four inequalities t (w . z) > 0, each taken once, add up to 0 > 0.

    Source: Minsky and Papert 1969
    """
    targets = np.array(TABLES["xor"], dtype=bool)
    sums = [signed(with_one(TRUTH), t).sum(0) for t in (targets, ~targets)]
    return exactly(float(np.abs(sums).max()), 0.0)


def xor_goes_round_in_a_circle() -> Check:
    """On XOR the weights come back to where they were: mistakes in one turn of the circle, found within 100 sweeps.

    Source: Minsky and Papert 1969; Block and Levin 1970 (bounded weights; with whole numbers, a cycle)
    """
    program = Perceptron(Setup(problem="xor", epochs=100))
    seen: dict[tuple[float, ...], int] = {}
    for i in range(program.total):
        if i % 4 == 0:
            place = tuple(program.w)
            if place in seen:
                return at_least(program.mistakes - seen[place], 1)
            seen[place] = program.mistakes
        program.step(i)
    return at_least(-1, 1)


def three_units_compute_xor() -> Check:
    """Two learned units, OR and NAND, under a learned AND give XOR on all four inputs: 2-2-1 is enough.

    Source: Minsky and Papert 1969
    """
    z = with_one(TRUTH)
    either, not_both, both = (learn(z, np.array(TABLES[t], dtype=bool), sweeps=100)[0] for t in ("or", "nand", "and"))
    hidden = np.stack([fires(either, z), fires(not_both, z)], -1).astype(float)
    return exactly(float((fires(both, with_one(hidden)) == np.array(TABLES["xor"], dtype=bool)).sum()), 4)


def cover_counts_the_separable_labellings() -> Check:
    """Of the 128 labellings of 7 points in general position in the plane 2 (C(6,0) + C(6,1) + C(6,2)) are separable.

    Source: Cover 1965
    """
    z = with_one(torch.randn(7, 2, generator=generator(0, "cover"), dtype=torch.float64).numpy())
    found = sum(mistake_bound(z, np.array(t, dtype=bool)) is not None for t in product((0, 1), repeat=7))
    return exactly(found, 2 * sum(comb(6, i) for i in range(3)))


COURSE_LINE = np.array([2.14037745, 1.2763927, -9.0])
"""w_1, w_2, b of the course's exercise"""


def the_course_line_crosses_the_axes() -> Check:
    """w = (2.14037745, 1.2763927), b = -9 crosses the axes at 4.20486583 and 7.05112149: the larger difference.

    Source: course exercise on the perceptron's line
    """
    one, two = intercepts(COURSE_LINE)
    return at_most(max(abs(one - 4.20486583), abs(two - 7.05112149)), 5e-9)


def answers_flip_across_the_line() -> Check:
    """Of 1,000 places along the course's line, shifted by 1e-6 to either side, all 2,000 answers are the side's own.

    Source: the boundary w . z = 0 of (1)
    """
    w, along = COURSE_LINE, np.linspace(-50, 50, 1000)[:, None]
    normal = w[:2] / sqrt(w[0] ** 2 + w[1] ** 2)
    on = -w[2] * normal / np.linalg.norm(w[:2]) + along * np.array([-normal[1], normal[0]])
    above, below = (fires(w, with_one(on + side * 1e-6 * normal)) for side in (1, -1))
    return exactly(float(above.sum() + (~below).sum()), 2000)


CARD = Card(
    name="Perceptron",
    name_ja="パーセプトロン",
    paper="Rosenblatt 1958, doi:10.1037/h0042519; Novikoff 1962; Minsky and Papert 1969",
    equations=(
        r"y = H(w \cdot z),\quad H(u) = 1 \text{ if } u \ge 0 \text{ else } 0",
        r"w \leftarrow w + t\,z \quad\text{if } y \text{ is wrong}",
        r"\text{mistakes} \le (R/\gamma)^2",
        r"\gamma = \max_{|w|=1}\min_i t_i\,(w \cdot z_i) = \min_{p \in \mathrm{conv}\{t_i z_i\}} |p|",
    ),
    summary="One unit learns any separable problem within a proven number of mistakes, and XOR never.",
    summary_ja="一つのユニットが、線形分離可能な問題なら証明された誤り回数以内で学び、XORは決して学べない。",
    topics=("basics.perceptron", "basics.step-neuron", "basics.perceptron-limit", "theory.memorisation-capacity"),
    facts=(
        forward_is_the_dot_product,
        and_or_nand_are_learned,
        mistakes_stay_under_the_bound,
        the_margin_is_exact,
        fourteen_of_sixteen,
        xor_is_a_contradiction,
        xor_goes_round_in_a_circle,
        three_units_compute_xor,
        cover_counts_the_separable_labellings,
        the_course_line_crosses_the_axes,
        answers_flip_across_the_line,
    ),
    notes=("One document dates the perceptron 1958, another 1957: the report is of 1957, the journal article of 1958.",
           "The documents leave the step function at exactly 0 open; here it is 1."),
    notes_ja=("ある資料は1958年、別の資料は1957年とする。報告書が1957年、学術誌の論文が1958年。",
              "資料ではステップ関数のちょうど0での値が決まっていない。ここでは1とする。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the unit is to learn, and for how long."""

    problem: Literal["and", "or", "nand", "xor", "separable"] = "and"
    """a truth table of two inputs, or random points on both sides of a hidden plane"""
    epochs: int = 20
    """sweeps over all examples"""
    points: int = 60
    """number of points (separable)"""
    dimension: int = 2
    """inputs of the unit (separable)"""
    margin: float = 0.2
    """distance that is kept free on both sides of the hidden plane (separable)"""
    seed: int = 0
    """of the hidden plane and the points (separable)"""


VARIANTS = {
    "smoke": Setup(problem="separable", points=30, epochs=10),
    "default": Setup(),
    "or": Setup(problem="or"),
    "nand": Setup(problem="nand"),
    "xor": Setup(problem="xor"),
    "separable": Setup(problem="separable"),
}


def build(setup: Setup, place: Place = Place()) -> Perceptron:  # noqa: B008 - Place is frozen
    """A perceptron before its first example; it computes in float64 on the CPU wherever `place` is."""
    for name in ("epochs", "points", "dimension"):
        if getattr(setup, name) < 1:
            raise UserError(name, f"{getattr(setup, name)} is not a number of something", "give 1 or more")
    if not 0 < setup.margin < float("inf"):
        raise UserError("margin", f"{setup.margin} is no distance", "give a number above 0")
    return Perceptron(setup)
