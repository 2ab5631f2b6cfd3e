r"""Deep linear networks: every local minimum is global, and saddles are where descent waits (Kawaguchi 2016).

    L(W_1 .. W_H) = 1/(2n) |W_H .. W_1 X - Y|^2,   M = W_H .. W_1                                   (1)

is a convex problem in the product M, but not in its factors. With the covariances A = X X^T / n, C = Y X^T / n and
the singular values s_1 >= s_2 >= .. (vectors u_i, v_i) of C A^(-1/2), a product of rank at most p reaches no less than

    L* = 1/2 (tr(Y Y^T) / n - s_1^2 - .. - s_p^2),   M = sum_{i <= p} s_i u_i v_i^T A^(-1/2)        (2)

(p: the narrowest layer), and every local minimum of (1) reaches it. All other critical points are saddles. They leave
out singular directions: for a set I of them

    M_I = sum_{i in I} s_i u_i v_i^T A^(-1/2),   L_I = 1/2 (tr(Y Y^T) / n - sum_{i in I} s_i^2)     (3)

so for hidden layers that are wide enough, a critical point is a global minimum if and only if M has full rank (Yun,
Sra, Jadbabaie 2018). At W = 0 the Hessian of two layers has the eigenvalue -|C|, of three layers it is the zero matrix.

The surprise: on the way down the loss waits on the heights L_I, foreseen from the data alone, and a saddle of three
layers may have no direction of negative curvature at all. With ReLU the theorem is false: one unit suffices.
"""

from dataclasses import dataclass, replace
from functools import cache, reduce
from itertools import combinations, pairwise
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, GREEN, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range

Weights = list[Tensor]
"""W_1 .. W_H, each (..., out, in)"""


@final
class Regression:
    """The data as its second moments, and what (2) and (3) say about them."""

    def __init__(self, inputs: int, outputs: int, examples: int, seed: int):
        draw = generator(seed, "examples")
        X, E = (torch.randn(rows, examples, generator=draw, dtype=torch.float64) for rows in (inputs, outputs))
        Y = torch.randn(outputs, inputs, generator=draw, dtype=torch.float64) @ X + 0.5 * E
        self.A, self.C, self.power = X @ X.T / examples, Y @ X.T / examples, float(Y.square().sum() / examples)
        values, vectors = torch.linalg.eigh(self.A)
        self.white = vectors @ torch.diag(values**-0.5) @ vectors.T
        self.U, self.s, self.Vt = torch.linalg.svd(self.C @ self.white, full_matrices=False)

    def loss(self, W: Weights) -> Tensor:
        """(1), one for each start."""
        M = product(W)
        return 0.5 * (self.power - 2 * (self.C * M).sum((-2, -1)) + ((M @ self.A) * M).sum((-2, -1)))  # (1)

    def slopes(self, W: Weights) -> Weights:
        """The gradient of (1) with respect to each factor."""
        G = product(W) @ self.A - self.C
        above = [product(W[i + 1 :]).mT @ G if i + 1 < len(W) else G for i in range(len(W))]
        return [above[i] @ product(W[:i]).mT if i else above[i] for i in range(len(W))]

    def height(self, kept: tuple[int, ...]) -> float:
        """L_I for the singular directions that are kept."""
        return 0.5 * (self.power - float(self.s[list(kept)].square().sum()))  # (3)

    def optimum(self, narrowest: int) -> float:
        """L* for a narrowest layer of so many units."""
        return self.height(tuple(range(min(narrowest, len(self.s)))))  # (2)

    def planted(self, kept: tuple[int, ...], hidden: tuple[int, ...], *, filled: bool) -> Weights:
        """A critical point with the product M_I; `filled`: inner layers let the unused directions pass, too."""
        r, kept_list = len(kept), list(kept)
        first = torch.zeros(hidden[0], len(self.A), dtype=torch.float64)
        first[:r] = self.Vt[kept_list] @ self.white
        last = torch.zeros(len(self.C), hidden[-1], dtype=torch.float64)
        last[:, :r] = self.U[:, kept_list] * self.s[kept_list]
        inner = [torch.eye(b, a, dtype=torch.float64) for a, b in pairwise(hidden)]
        for W in inner:
            W[:, W.shape[1] if filled else r :] = 0
        return [first, *inner, last]

    def hessian(self, W: Weights) -> Tensor:
        """Second derivatives with respect to all entries of all factors, (parameters, parameters)."""
        sizes, shapes = [w.numel() for w in W], [w.shape for w in W]

        def flat(parameters: Tensor) -> Tensor:
            parts = parameters.split(sizes)
            return self.loss([part.view(shape) for part, shape in zip(parts, shapes, strict=True)])

        found = torch.autograd.functional.hessian(flat, torch.cat([w.flatten() for w in W]))
        return found  # pyright: ignore[reportReturnType]


def product(W: Weights) -> Tensor:
    """W_H .. W_1."""
    return reduce(lambda done, w: w @ done, W)


def subsets(count: int) -> list[tuple[int, ...]]:
    """All sets of singular directions, the full one last."""
    return [kept for r in range(count + 1) for kept in combinations(range(count), r)]


@final
class LinearNets:
    """Gradient descent on (1) from many starts at once."""

    def __init__(self, setup: "Setup"):
        self.setup, self.total = setup, setup.steps
        sizes = (setup.inputs, *setup.hidden, setup.outputs)
        self.task = Regression(setup.inputs, setup.outputs, setup.examples, setup.seed)
        self.best = self.task.optimum(min(sizes))
        draw = generator(setup.seed, "starts")
        self.W = [setup.scale * torch.randn(setup.starts, b, a, generator=draw, dtype=torch.float64) / a**0.5
                  for a, b in pairwise(sizes)]
        self.seen: list[list[float]] = []

    def step(self, i: int) -> Record:
        for _ in range(self.setup.inner):
            self.W = [w - self.setup.lr * g for w, g in zip(self.W, self.task.slopes(self.W), strict=True)]
        losses = self.task.loss(self.W)
        self.seen.append(losses.tolist())
        ranks = torch.linalg.matrix_rank(product(self.W), rtol=1e-3)
        return {"loss_best": losses.min(), "loss_worst": losses.max(), "optimum": self.best,
                "gap": losses.max() - self.best, "rank_least": ranks.min()}

    def state(self) -> dict[str, Any]:
        return {"W": list(self.W), "seen": [list(row) for row in self.seen]}

    def restore(self, state: dict[str, Any]) -> None:
        self.W, self.seen = [w.clone() for w in state["W"]], [list(row) for row in state["seen"]]

    def pictures(self) -> dict[str, np.ndarray]:
        """The losses with the foreseen heights of the saddles; planted critical points by rank and curvature."""
        if not self.seen:
            return {}
        figure = sheet(900, 400)
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
        steps = self.setup.inner * np.arange(1, len(self.seen) + 1)
        left.semilogx(steps, np.array(self.seen), color=BLUE, linewidth=1, alpha=0.6)
        narrowest = min(self.setup.inputs, self.setup.outputs, *self.setup.hidden)
        possible = [kept for kept in subsets(len(self.task.s)) if len(kept) <= narrowest]
        for kept in possible:
            best = self.task.height(kept) <= self.best + 1e-12
            left.axhline(self.task.height(kept), color=GREEN if best else GREY, linestyle="-" if best else ":")
        left.set_ylim(0, self.task.height(()) * 1.15)
        quiet(left, "Waiting at saddles (dotted: foreseen) / 鞍点での停滞", "step / ステップ", "loss / 損失")
        for filled, colour, mark, name in ((True, BLUE, "o", "inside: identity / 中は単位行列"),
                                           (False, ORANGE, "s", "inside: zero / 中は零")):
            least = [self._least(kept, filled=filled) for kept in possible]
            side = 0.06 if filled else -0.06
            right.plot([len(kept) + side for kept in possible], least, mark, color=colour, label=name, alpha=0.8)
        right.axhline(0, color=RED, linewidth=0.8)
        right.set_xticks(range(narrowest + 1))
        quiet(right, "Planted critical points / 植えた臨界点", "rank of the product / 積の階数", "curvature / 最小曲率")
        right.set_ylim(bottom=1.3 * right.get_ylim()[0])
        right.legend(fontsize=8.5, loc="lower right")
        return {"linear_saddles": pixels(figure)}

    def _least(self, kept: tuple[int, ...], *, filled: bool) -> float:
        """The least curvature of (1) at a planted point."""
        W = self.task.planted(kept, self.setup.hidden, filled=filled)
        return float(torch.linalg.eigvalsh(self.task.hessian(W))[0])


@cache
def _end(hidden: tuple[int, ...] = (4, 4)) -> LinearNets:
    program = LinearNets(replace(Setup(), hidden=hidden, steps=1, inner=1500))
    program.step(0)
    return program


def every_start_reaches_the_optimum() -> Check:
    """All 20 random starts of a 5-4-4-3 net end less than 1e-6 above the closed form (2).

    Source: Kawaguchi 2016, theorem 2.3
    """
    return at_most(float(_end().task.loss(_end().W).max()) - _end().best, 1e-6)


def also_through_a_narrow_layer() -> Check:
    """So do 20 starts of a 5-2-4-3 net, where (2) is the rank 2 optimum and not plain least squares.

    Source: Kawaguchi 2016, theorem 2.3; Eckart, Young 1936
    """
    program = _end((2, 4))
    return at_most(float((program.task.loss(program.W) - program.best).abs().max()), 1e-6)


def at_zero_three_layers_are_flat() -> Check:
    """At W = 0 the largest entry of the Hessian of three layers is 0.

    Source: Kawaguchi 2016, corollary 2.4
    """
    task, sizes = _end().task, (5, 4, 4, 3)
    zero = [torch.zeros(b, a, dtype=torch.float64) for a, b in pairwise(sizes)]
    return exactly(float(task.hessian(zero).abs().max()), 0.0)


def at_zero_two_layers_bend_down() -> Check:
    """At W = 0 the least eigenvalue of the Hessian of two layers, divided by the norm of C, is -1 to 1e-12.

    Source: the second derivative of (1) at 0 is -tr(C^T dW_2 dW_1) twice; Baldi, Hornik 1989
    """
    task = _end().task
    zero = [torch.zeros(4, 5, dtype=torch.float64), torch.zeros(3, 4, dtype=torch.float64)]
    least = torch.linalg.eigvalsh(task.hessian(zero))[0]
    return about(float(least / torch.linalg.matrix_norm(task.C, 2)), -1.0, 1e-12)


def _descends(task: Regression, W: Weights) -> bool:
    """Whether a nearby point is lower: along the most negative curvature, or by all factors at once (third order)."""
    _, vectors = torch.linalg.eigh(task.hessian(W))
    sizes = [w.numel() for w in W]
    here, aims = float(task.loss(W)), [vectors[:, 0], -vectors[:, 0]]
    for u, v in zip(task.U.T, task.Vt @ task.white, strict=True):
        edges = [torch.zeros_like(w) for w in W]
        edges[0][-1], edges[-1][:, -1] = v, u
        for inner in edges[1:-1]:
            inner[-1, -1] = 1.0
        aims.append(torch.cat([e.flatten() for e in edges]))
    for aim in aims:
        moved = [w + 0.01 * a.view_as(w) for w, a in zip(W, aim.split(sizes), strict=True)]
        if float(task.loss(moved)) < here - 1e-9:
            return True
    return False


def the_rank_tells_saddles_from_minima() -> Check:
    """Of 16 planted critical points 14 have a product of rank below 3 and a lower point nearby; 2 have neither.

    Source: Yun, Sra, Jadbabaie 2018, theorem 2.2
    """
    task, right = _end().task, 0
    for kept in subsets(3):
        for filled in (True, False):
            W = task.planted(kept, (4, 4), filled=filled)
            critical = max(float(g.abs().max()) for g in task.slopes(W)) < 1e-12
            full = int(torch.linalg.matrix_rank(product(W), rtol=1e-9)) == 3
            lowest = float(task.loss(W)) < task.optimum(3) + 1e-12
            right += critical and full == lowest == (not _descends(task, W)) == (len(kept) == 3)
    return exactly(float(right), 16.0)


def three_saddles_have_no_negative_curvature() -> Check:
    """With zeros inside, 3 of the 7 planted saddles have no Hessian eigenvalue below -1e-9: a third order step leaves.

    Source: equation (3): those that keep the largest singular directions
    """
    task = _end().task
    points = [task.planted(kept, (4, 4), filled=False) for kept in subsets(3)[:-1]]
    return exactly(float(sum(float(torch.linalg.eigvalsh(task.hessian(W))[0]) > -1e-9 for W in points)), 3.0)


def relu_loss(v: Tensor, w: Tensor) -> Tensor:
    """1/2 sum_i (v max(w x_i, 0) - y_i)^2 of one unit for the examples (1, 1) and (-1, 2)."""
    return 0.5 * ((v * w.clamp(min=0) - 1).square() + (v * (-w).clamp(min=0) - 2).square())


def one_relu_unit_has_a_bad_minimum() -> Check:
    """One ReLU unit, two examples: (v, w) = (1, 1) has loss 2, none of 10,000 neighbours less; (2, -1) has 0.5.

    Source: derived here; for larger nets Safran, Shamir 2018, arXiv:1712.08968
    """
    one, two = (torch.tensor(x, dtype=torch.float64) for x in (1.0, 2.0))
    near = 1 + 0.5 * (2 * torch.rand(2, 10_000, generator=generator(0, "near"), dtype=torch.float64) - 1)
    lower = (relu_loss(near[0], near[1]) < 2).any() or float(relu_loss(one, one)) != 2.0
    return exactly(-1.0 if lower else float(relu_loss(one, one) - relu_loss(two, -one)), 1.5)


CARD = Card(
    name="Deep linear networks",
    name_ja="深い線形ネットワーク",
    paper="Kawaguchi 2016, arXiv:1605.07110; Lu, Kawaguchi 2017, arXiv:1702.08580; Yun, Sra, Jadbabaie 2018, "
          "arXiv:1707.02444; Baldi, Hornik 1989",
    equations=(
        r"L(W_1, \ldots, W_H) = \frac{1}{2n}\,|W_H \cdots W_1 X - Y|^2",
        r"L^* = \frac{1}{2}\left(\frac{1}{n}\mathrm{tr}\,YY^T - s_1^2 - \ldots - s_p^2\right)",
        r"L_I = \frac{1}{2}\left(\frac{1}{n}\mathrm{tr}\,YY^T - \sum_{i \in I} s_i^2\right)",
    ),
    summary="Every start of a deep linear net ends at the closed-form optimum, after waiting at foreseen saddles.",
    summary_ja="深い線形ネットワークは、特異値から予測できる鞍点で停滞しながら、どこから始めても閉形式の最適値に着く。",
    topics=("theory.linear-nets", "theory.linear-critical-condition"),
    facts=(
        every_start_reaches_the_optimum,
        also_through_a_narrow_layer,
        at_zero_three_layers_are_flat,
        at_zero_two_layers_bend_down,
        the_rank_tells_saddles_from_minima,
        three_saddles_have_no_negative_curvature,
        one_relu_unit_has_a_bad_minimum,
    ),
    notes=("The headline 'all local minima of deep networks are global' holds for linear networks only; one ReLU unit "
           "on two examples has a bad one.",
           "That a critical point of full rank is a global minimum is a theorem about linear networks; for others only "
           "sufficient conditions are known."),
    notes_ja=("「深層NNの局所的最適解は全て大域的最適解」という見出しは線形ネットワークだけの話。"
              "ReLUのユニット一つと例二つで、悪い極小点ができる。",
              "積の階数が最大の臨界点は大域的最小点だという定理は線形の場合のもの。それ以外では十分条件しか知られていない。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A linear net of any depth on random data."""

    inputs: int = 5
    """input units"""
    hidden: tuple[int, ...] = (4, 4)
    """units of each hidden layer"""
    outputs: int = 3
    """output units"""
    examples: int = 60
    """examples n"""
    starts: int = 20
    """random starts, all at once"""
    scale: float = 0.1
    """size of the initial weights; small ones wait longer at saddles"""
    lr: float = 0.05
    """step size"""
    steps: int = 250
    """recorded steps"""
    inner: int = 6
    """steps of descent in each"""
    seed: int = 0
    """of the examples and the starts"""


VARIANTS = {
    "smoke": Setup(scale=0.3, steps=40),
    "default": Setup(),
    "narrow": Setup(hidden=(2, 4)),
    "large-start": Setup(scale=0.5),
    "two-layers": Setup(hidden=(4,)),
}


def build(setup: Setup, place: Place = Place()) -> LinearNets:  # noqa: B008 - a frozen value
    """The descents, in float64 on the CPU."""
    in_range(setup, ("inputs", "outputs", "examples", "starts", "scale", "lr", "steps", "inner"))
    if not setup.hidden or min(setup.hidden) < 1:
        raise UserError("hidden", f"{setup.hidden} is not one or more layers of units", "give for example 4,4")
    if setup.examples < setup.inputs:
        raise UserError("examples", f"{setup.examples} examples leave X X^T singular", "give more of them")
    return LinearNets(setup)
