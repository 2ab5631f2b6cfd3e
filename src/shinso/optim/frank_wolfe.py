r"""The Frank-Wolfe method (Frank and Wolfe 1956; Jaggi 2013): stay inside a set without ever projecting onto it.

    s = argmin_{s in X} <g, s>,   w' = w + a (s - w),   0 <= a <= 1                                      (1)
    a = 2 / (t + 2) for t = 0, 1, ...,   or  a = min(1, <g, w - s> / (L |w - s|^2))                      (2)

(1) walks towards a corner of X, which is a linear problem: one entry on the l1 ball and the simplex, one pair of
singular vectors on the ball of the nuclear norm, where a projection needs all of them. For a convex f whose gradient
has the Lipschitz constant L, with the diameter D of X and C = L D^2,

    f(w_t) - f* <= <g, w_t - s>,   f(w_t) - f* <= 2 C / (t + 2)                                          (3)

The left bound is known at every step: a certificate of how good w is, kept as "gap" in the state. The surprise: after t
steps w is a mixture of at most t + 1 corners (4): it stays sparse, or of low rank, without a threshold.
"""

from functools import cache
from typing import Any, Literal, final

import torch
from torch import Tensor

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.seed import generator
from shinso.optim._checks import check_rate
from shinso.optim._constraint import CORNERED, corner
from shinso.optim._lean import AbstractStep
from shinso.optim._walk import walk, weights

Onto = Literal["l1", "l2", "simplex", "nuclear"]


@final
class FrankWolfe(AbstractStep, torch.optim.Optimizer):  # pyright: ignore[reportIncompatibleMethodOverride]
    """(1) on a set of size `radius` for each tensor: as a whole, but simplex: each row, and nuclear: matrices only.

    The first step goes to a corner wherever the weights were. Later ones are lr times 2/(t + 2), or the short step of
    (2) where `smoothness` gives L.
    """

    def __init__(self, params: Any, lr: float | Tensor = 1.0, *, onto: Onto = "l2", radius: float = 10.0,
                 smoothness: float | None = None, maximize: bool = False):
        check_rate(lr)
        if onto not in CORNERED:
            raise ValueError(f"Invalid onto: {onto}")
        if not 0.0 < radius:
            raise ValueError(f"Invalid radius: {radius}")
        if smoothness is not None and not 0.0 < smoothness:
            raise ValueError(f"Invalid smoothness: {smoothness}")
        super().__init__(params, {"lr": lr, "onto": onto, "radius": radius, "smoothness": smoothness,
                                  "maximize": maximize})

    def _update(self) -> None:
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None and float(group["lr"]) > 0:
                    self._move(w, group)

    def _move(self, w: Tensor, group: dict[str, Any]) -> None:
        g = w.grad
        if g is None or g.is_sparse or w.is_complex():
            raise RuntimeError("FrankWolfe does not support sparse gradients, nor complex parameters")
        if group["onto"] == "nuclear" and w.dim() != 2:
            raise RuntimeError(f"FrankWolfe with onto='nuclear' is for matrices; there is one of {w.dim()} dimensions")
        g = -g if group["maximize"] else g
        away = corner(g, group["onto"], group["radius"]) - w
        kept = self.state[w]
        t = kept.get("step", 0)
        kept.update(step=t + 1, gap=-float((g * away).sum()))  # (3)
        if t == 0:
            share = 1.0
        elif group["smoothness"] is None:
            share = float(group["lr"]) * 2 / (t + 2)
        else:
            length = group["smoothness"] * float(away.square().sum())
            share = float(group["lr"]) * kept["gap"] / length if length > 0 else 0.0
        w.add_(away, alpha=min(1.0, max(0.0, share)))  # (2)


def the_gap_falls_as_one_over_t() -> Check:
    """On the l1 ball and the simplex of 50 entries, f - f* times (t + 2)/(2 C) over 300 steps is never above 1.

    Source: Frank and Wolfe 1956; Jaggi 2013, theorem 1; equation (3)
    """
    return at_most(max(_ratio("l1"), _ratio("simplex")), 1.0)


def short_steps_obey_it_too() -> Check:
    """With the short step of (2) the same ratio is never above 1.

    Source: Jaggi 2013, theorem 1: both steps
    """
    A, _ = _least_squares()
    L = float(torch.linalg.matrix_norm(A, 2)) ** 2
    return at_most(max(_ratio("l1", L), _ratio("simplex", L)), 1.0)


def nothing_with_so_few_corners_is_better() -> Check:
    """For |w|^2 on the simplex of 500 entries f - f* is at least 1/t - 1/500 for t = 1 to 200, to 1e-15.

    Source: Jaggi 2013, lemma 3: t corners of the simplex allow no less
    """
    path = walk(FrankWolfe([weights([1.0] * 500)], onto="simplex", radius=1.0), lambda w: 2 * w, 200)[1:]
    t = torch.arange(1, 201, dtype=torch.float64)
    return at_least(float((path.square().sum(1) - 1 / 500 - (1 / t - 1 / 500)).min()), -1e-15)


def the_certificate_is_never_below_the_gap() -> Check:
    """Over those 300 steps f(w_t) - f* exceeds the state's "gap" at w_t by at most 1e-12.

    Source: equation (3), convexity
    """
    A, y = _least_squares()
    w = weights([0.0] * 50)
    optimiser = FrankWolfe([w], onto="l1", radius=2.0)
    least, off = _least("l1"), -1.0
    for _ in range(300):
        place = w.detach().clone()
        walk(optimiser, lambda w: A.T @ (A @ w - y), 1)
        off = max(off, _loss(place) - least - optimiser.state[w]["gap"])
    return at_most(off, 1e-12)


def after_t_steps_there_are_at_most_t_corners() -> Check:
    """For t = 1 to 20 on the l1 ball of 50 entries, the weights that are not 0, less t + 1: the largest is below 0.

    Source: Jaggi 2013; equation (4), and the first step leaves the start behind
    """
    A, y = _least_squares()
    path = walk(FrankWolfe([weights([0.1] * 50)], onto="l1", radius=2.0), lambda w: A.T @ (A @ w - y), 20)
    return at_most(max(float((w != 0).sum()) - (t + 1) for t, w in enumerate(path[1:], 1)), -1.0)


def the_rank_grows_by_one_a_step() -> Check:
    """On the nuclear ball of 12 x 9 matrices the rank after t = 1 to 8 steps, less t + 1, is below 0.

    Source: Jaggi and Sulovsky 2010; equation (4)
    """
    ranks = [int(torch.linalg.matrix_rank(w, tol=1e-9)) for w in _nuclear()[1:]]
    return at_most(max(float(rank - (t + 1)) for t, rank in enumerate(ranks[:8], 1)), -1.0)


def nothing_leaves_its_set() -> Check:
    """Nothing is projected, yet on all four sets no norm is above the radius by more than 1e-14 of it, 100 steps each.

    Source: equation (1) is a mean of points of a convex set
    """
    A, y = _least_squares()
    over = [torch.linalg.matrix_norm(_nuclear()[1:], "nuc") / 3.0]
    sets: tuple[tuple[Onto, int], ...] = (("l1", 1), ("simplex", 1), ("l2", 2))
    for onto, size in sets:
        path = walk(FrankWolfe([weights([5.0] * 50)], onto=onto, radius=2.0), lambda w: A.T @ (A @ w - y), 100)[1:]
        over.append(torch.linalg.vector_norm(path, size, dim=1) / 2.0)
    return at_most(float(torch.cat(over).max()), 1 + 1e-14)


def _least_squares() -> tuple[Tensor, Tensor]:
    draw = generator(0, "regression")
    A = torch.randn(30, 50, generator=draw, dtype=torch.float64)
    return A, A[:, :5].sum(1) + 0.1 * torch.randn(30, generator=draw, dtype=torch.float64)


def _loss(w: Tensor) -> float:
    A, y = _least_squares()
    return 0.5 * float((A @ w - y).square().sum())


@cache
def _least(onto: Onto) -> float:
    """The minimum on that set of radius 2, from below, by the best certificate of 1500 short steps."""
    A, y = _least_squares()
    w = weights([0.0] * 50)
    optimiser = FrankWolfe([w], onto=onto, radius=2.0, smoothness=float(torch.linalg.matrix_norm(A, 2)) ** 2)
    best = -float("inf")
    for _ in range(1500):
        place = w.detach().clone()
        w.grad = A.T @ (A @ place - y)
        optimiser.step()
        best = max(best, _loss(place) - optimiser.state[w]["gap"])
    return best


def _ratio(onto: Onto, smoothness: float | None = None) -> float:
    A, y = _least_squares()
    w = weights([0.0] * 50)
    path = walk(FrankWolfe([w], onto=onto, radius=2.0, smoothness=smoothness), lambda w: A.T @ (A @ w - y), 300)
    diameter = 4.0 if onto == "l1" else 2.0 * 2**0.5
    C = float(torch.linalg.matrix_norm(A, 2)) ** 2 * diameter**2
    losses = 0.5 * (path[1:] @ A.T - y).square().sum(1) - _least(onto)
    return float((losses * (torch.arange(1, 301) + 2) / (2 * C)).max())


def _nuclear() -> Tensor:
    """100 steps of matrix completion on the ball of radius 3: (101, 12, 9)."""
    draw = generator(0, "matrix")
    target = torch.randn(12, 9, generator=draw, dtype=torch.float64)
    seen = torch.rand(12, 9, generator=draw) < 0.6
    w = torch.zeros(12, 9, dtype=torch.float64, requires_grad=True)
    return walk(FrankWolfe([w], onto="nuclear", radius=3.0), lambda w: (w - target) * seen, 100)


CARD = Card(
    name="Frank-Wolfe method",
    name_ja="Frank-Wolfe 法 (条件付き勾配法)",
    paper="Frank and Wolfe 1956, doi:10.1002/nav.3800030109; Jaggi 2013, Revisiting Frank-Wolfe",
    equations=(
        r"s = \mathrm{arg\,min}_{s \in X}\langle g, s\rangle,\quad w' = w + a\,(s - w)",
        r"a = \frac{2}{t+2}\quad\mathrm{or}\quad a = \min(1, \langle g, w - s\rangle / (L\|w - s\|^2))",
        r"f(w_t) - f^* \leq \langle g, w_t - s\rangle,\quad f(w_t) - f^* \leq \frac{2C}{t+2},\quad C = L D^2",
        r"w_t = \sum_{k=0}^{t} c_k s_k,\quad c_k \geq 0,\quad \sum_k c_k = 1",
    ),
    summary="Walks towards corners of a set: never leaves it, never projects, and after t steps has few corners in it.",
    summary_ja="集合の頂点へ向かって歩く。射影せずに集合の中に留まり、t 歩の後はわずかな頂点の混合である。",
    topics=("optim.frank-wolfe",),
    facts=(the_gap_falls_as_one_over_t, short_steps_obey_it_too, nothing_with_so_few_corners_is_better,
           the_certificate_is_never_below_the_gap, after_t_steps_there_are_at_most_t_corners,
           the_rank_grows_by_one_a_step, nothing_leaves_its_set),
    notes=("C is the curvature constant of the set; L D^2 is never below it, so (3) is tested with the looser one.",
           "Inside the set, away from its boundary, the steps of (2) without L fall no faster than 1/t."),
    notes_ja=("C は集合上の曲率定数である。L D^2 はそれより小さくないので、式 (3) は緩いほうの値で確かめている。",
              "最小点が集合の内部にあっても、L を使わない式 (2) の一歩では 1/t より速くは減らない。"),
)
