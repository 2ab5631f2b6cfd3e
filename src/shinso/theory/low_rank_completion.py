r"""Low-rank matrix completion: from half of a table to all of it, by plain descent (Ge, Lee, Ma 2016).

A symmetric table M = Z Z^T of rank r is seen at the pairs E only, each with probability p. Guess U of the same shape,

    f(U) = sum_{(i,j) in E} ((U U^T)_ij - M_ij)^2 + lam sum_i max(|U_i| - alpha, 0)^4               (1)
    grad f(U) = 4 P_E(U U^T - M) U + 4 lam sum_i max(|U_i| - alpha, 0)^3 U_i / |U_i|                (2)

(P_E: zero where nothing is seen; every pair is seen together with its mirror image). It is not convex, since U and U Q
are the same for a rotation Q, and yet with high probability every local minimum is U U^T = M - if Z has no outstanding
rows (incoherence), the sum over rows in (1) keeps guesses that way, and p is a logarithm above what is needed at least:

    p n (n + 1) / 2 >= n r - r (r - 1) / 2                                                          (3)

The right side counts the free numbers of Z. The surprise: well above (3) every random start finds the table to the last
digit; below it the seen entries are fitted perfectly and the rest is wrong; and in between descent can end in a true
local minimum with a positive loss, in which no small change helps.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from shinso.core.axes import BLUE, ORANGE, RED, quiet
from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.learn.sweep import Columns, Sweep


def tables(count: int, size: int, rank: int, seed: int) -> Tensor:
    """Factors Z of random tables, float64 (count, size, rank)."""
    return torch.randn(count, size, rank, generator=generator(seed, "tables"), dtype=torch.float64)


def masks(count: int, size: int, p: float, seed: int) -> Tensor:
    """1 where an entry is seen, 0 elsewhere, mirrored at the diagonal; float64 (count, size, size)."""
    # one draw for every p: what is seen at a small share stays seen at a larger one
    seen = (torch.rand(count, size, size, generator=generator(seed, "masks"), dtype=torch.float64) < p).triu()
    return (seen | seen.mT).double()


def longest(Z: Tensor) -> Tensor:
    """alpha: one and a half times the longest row of Z (..., n, r), (...)."""
    return 1.5 * Z.norm(dim=-1).amax(-1)


def objective(U: Tensor, Z: Tensor, seen: Tensor, lam: float) -> Tensor:
    """(1) for guesses U (..., n, r), (...)."""
    wrong = seen * (U @ U.mT - Z @ Z.mT)
    outside = (U.norm(dim=-1) - longest(Z)[..., None]).clamp(min=0)
    return wrong.square().sum((-2, -1)) + lam * outside.pow(4).sum(-1)  # (1)


def slope(U: Tensor, Z: Tensor, seen: Tensor, lam: float) -> Tensor:
    """(2), of the shape of U."""
    lengths = U.norm(dim=-1, keepdim=True)
    outside = (lengths - longest(Z)[..., None, None]).clamp(min=0).pow(3) / lengths.clamp(min=1e-300)
    return 4 * (seen * (U @ U.mT - Z @ Z.mT)) @ U + 4 * lam * outside * U  # (2)


def complete(Z: Tensor, seen: Tensor, starts: int, steps: int, seed: int, lam: float = 0.1) -> Tensor:
    """Guesses (tables, starts, n, r) after descent from random starts, for Z (tables, n, r), seen (tables, n, n)."""
    U = torch.randn(len(Z), starts, *Z.shape[1:], generator=generator(seed, "starts"), dtype=torch.float64)
    Z, seen = Z[:, None], seen[:, None]
    lr = 0.08 / Z.shape[-2] / float(seen.mean().clamp(min=0.25))
    for _ in range(steps):
        U = U - lr * slope(U, Z, seen, lam)
    return U


def errors(U: Tensor, Z: Tensor) -> Tensor:
    """|U U^T - M| / |M| over all entries, seen or not, (tables, starts)."""
    M = (Z @ Z.mT)[:, None]
    return (U @ U.mT - M).norm(dim=(-2, -1)) / M.norm(dim=(-2, -1))


def least_share(size: int, rank: int) -> float:
    """The p at which (3) holds with equality."""
    return (size * rank - rank * (rank - 1) / 2) / (size * (size + 1) / 2)  # (3)


@cache
def _twelve(p: float) -> tuple[Tensor, Tensor, Tensor]:
    """(Z, masks, ends) of 12 tables of 40 x 40, rank 2, from 10 starts each."""
    Z, seen = tables(12, 40, 2, 0), masks(12, 40, p, 0)
    return Z, seen, complete(Z, seen, 10, 300, 0)


def half_of_a_table_is_enough() -> Check:
    """With half of 12 tables (40 x 40, rank 2) seen, 120 of 120 random starts come within 1e-3 of all entries.

    Source: Ge, Lee, Ma 2016, theorem 2.3: with high probability no other local minima
    """
    Z, _, U = _twelve(0.5)
    return exactly(float((errors(U, Z) < 1e-3).sum()), 120.0)


def below_the_count_of_numbers_none_succeeds() -> Check:
    """With 8 percent seen, below the 9.6 percent of (3), 0 of 120 starts come within 1e-3.

    Source: equation (3): there are fewer equations than unknowns
    """
    Z, _, U = _twelve(0.08)
    return exactly(float((errors(U, Z) < 1e-3).sum()) + 100 * (least_share(40, 2) <= 0.08), 0.0)


def the_rest_is_wrong_though_the_seen_is_right() -> Check:
    """There the median start leaves below 1 percent of the seen entries' square, above 50 percent of the table's.

    Source: equation (3)
    """
    Z, seen, U = _twelve(0.08)
    M = (Z @ Z.mT)[:, None]
    fit = (seen[:, None] * (U @ U.mT - M)).square().sum((-2, -1)) / (seen[:, None] * M).square().sum((-2, -1))
    return at_least(float(errors(U, Z).square().median()) if float(fit.median()) < 0.01 else 0.0, 0.5)


def the_free_numbers_are_counted() -> Check:
    """The derivative of U U^T at a random 40 x 2 matrix has rank 79 = 40 2 - 1.

    Source: equation (3): rotations of U change nothing
    """
    Z = tables(1, 40, 2, 0)[0]
    directions = torch.eye(80, dtype=torch.float64).view(80, 40, 2)
    return exactly(float(torch.linalg.matrix_rank((directions @ Z.T + Z @ directions.mT).flatten(1))), 79.0)


def in_between_there_are_bad_minima() -> Check:
    """With 30 percent seen, one of 120 starts sits at gradient below 1e-9, loss over 30, curvature over 1 all round.

    Source: found by search here; the theorem asks for more than 30 percent at this size. All round: but for rotation
    """
    Z, seen = tables(12, 40, 2, 0)[1], masks(12, 40, 0.3, 0)[1]
    U = torch.randn(12, 10, 40, 2, generator=generator(0, "starts"), dtype=torch.float64)[1, 7]
    for _ in range(2500):
        U = U - 0.08 / 40 / 0.3 * slope(U, Z, seen, 0.1)
    stuck = float(slope(U, Z, seen, 0.1).norm()) < 1e-9 and float(objective(U, Z, seen, 0.1)) > 30
    hessian = torch.autograd.functional.hessian(lambda u: objective(u.view(40, 2), Z, seen, 0.1), U.flatten())
    values = torch.linalg.eigvalsh(hessian)  # pyright: ignore[reportArgumentType]
    return at_least(float(values[1]) if stuck and abs(float(values[0])) < 1e-9 else 0.0, 1.0)


def the_regulariser_is_silent_at_the_end() -> Check:
    """At the 120 ends with half of the table seen, the longest row is below alpha, so that the sum over rows is 0.

    Source: Ge, Lee, Ma 2016, section 3: it only keeps guesses incoherent
    """
    Z, _, U = _twelve(0.5)
    return at_most(float((U.norm(dim=-1).amax(-1) / longest(Z)[:, None]).max()), 1.0)


def seen_entries_do_not_keep_lengths() -> Check:
    """A table of rank 1 with its one entry where nothing is seen has length 1 and is seen with length 0.

    Source: Bhojanapalli, Neyshabur, Srebro 2016: their theorem asks that no low-rank matrix is shortened so (RIP)
    """
    seen = masks(1, 40, 0.5, 0)[0]
    i = int((seen.diagonal() == 0).nonzero()[0])
    one = torch.zeros(40, 40, dtype=torch.float64)
    one[i, i] = 1.0
    return exactly(float((seen * one).norm()), 0.0)


CARD = Card(
    name="Low-rank matrix completion",
    name_ja="低ランク行列補完",
    paper="Ge, Lee, Ma 2016, Matrix completion has no spurious local minimum, arXiv:1605.07272",
    equations=(
        r"f(U) = \sum_{(i,j) \in E} ((UU^T)_{ij} - M_{ij})^2 + \lambda \sum_i \max(|U_i| - \alpha, 0)^4",
        r"\nabla f(U) = 4 P_E(UU^T - M)\,U + 4\lambda \sum_i \max(|U_i| - \alpha, 0)^3\,\frac{U_i}{|U_i|}",
        r"p\,\frac{n(n+1)}{2} \geq n r - \frac{r(r-1)}{2}",
    ),
    summary="From half of a table's entries, descent finds the other half from every start; too few, and it cannot.",
    summary_ja="表の半分が見えていれば、降下法はどこから始めても残り半分を言い当てる。見える割合が少なすぎると当てられない。",
    topics=("theory.low-rank-completion",),
    facts=(
        half_of_a_table_is_enough,
        below_the_count_of_numbers_none_succeeds,
        the_rest_is_wrong_though_the_seen_is_right,
        the_free_numbers_are_counted,
        in_between_there_are_bad_minima,
        the_regulariser_is_silent_at_the_end,
        seen_entries_do_not_keep_lengths,
    ),
    notes=("One slide says that all local minima are global. That holds with high probability, for incoherent tables, "
           "enough entries and the sum over rows in (1); a bad minimum with 30 percent of 40 x 40 seen is shown here.",
           "Bhojanapalli, Neyshabur, Srebro 2016 is about sensing with measurements that keep lengths (RIP). Seen "
           "entries do not: completion is another theorem."),
    notes_ja=("スライドは「局所最適解はすべて大域的最適解」と書くが、表がインコヒーレントで、十分な数の成分が見え、"
              "式 (1) の行の和があるときに、高い確率で成り立つこと。"
              "40 x 40 の 30 パーセントしか見えないときの悪い極小点をここで示す。",
              "Bhojanapalli, Neyshabur, Srebro 2016 は長さを保つ測定 (RIP) によるセンシングの定理。"
              "成分を見る測定は長さを保たないので、補完は別の定理である。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Random tables, seen at a growing share of their entries."""

    size: int = 40
    """rows and columns n"""
    rank: int = 2
    """rank r"""
    tables: int = 4
    """random tables at each share"""
    starts: int = 10
    """random starts for each table"""
    shares: int = 40
    """shares p from 0.02 to 0.8"""
    steps: int = 400
    """steps of descent"""
    seed: int = 0
    """of the tables, of what is seen, and of the starts"""


VARIANTS = {
    "smoke": Setup(size=12, rank=1, tables=2, starts=4, steps=80),
    "default": Setup(),
    "rank-three": Setup(rank=3, steps=800),
}


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step completes the tables at one share p, in float64 on the CPU."""
    in_range(setup, ("size", "rank", "tables", "starts", "shares", "steps"))
    Z = tables(setup.tables, setup.size, setup.rank, setup.seed)

    def measure(p: float) -> Record:
        seen = masks(setup.tables, setup.size, p, setup.seed)
        error = errors(complete(Z, seen, setup.starts, setup.steps, setup.seed), Z)
        return {"share_seen": p, "recovered": (error < 1e-3).double().mean(), "median_error": error.median(),
                "enough_numbers": float(p >= least_share(setup.size, setup.rank))}

    return Sweep(np.linspace(0.02, 0.8, setup.shares).tolist(), measure, lambda rows: _draw(rows, setup))


def _draw(rows: Columns, setup: Setup) -> dict[str, np.ndarray]:
    """A table with half and with too few of its entries, as seen and as completed; success by share."""
    figure = sheet(900, 560)
    grid = figure.add_gridspec(2, 4, height_ratios=[1, 1.05])
    Z = tables(1, setup.size, setup.rank, setup.seed)
    Z = Z[:, torch.atan2(Z[0, :, -1], Z[0, :, 0]).argsort()]  # neighbours look alike
    M = (Z @ Z.mT)[0]
    few = 0.8 * least_share(setup.size, setup.rank)
    for column, p in ((0, 0.5), (2, few)):
        seen = masks(1, setup.size, p, setup.seed)
        U = complete(Z, seen, 1, setup.steps, setup.seed)[0, 0]
        wrong = float(errors(U[None, None], Z)[0, 0])
        name = f"completed: error {wrong:.0e} / 補完" if wrong < 1e-3 else f"completed: {wrong:.0%} off / 補完"
        holes = M.where(seen[0] > 0, torch.nan)
        for offset, picture, title in ((0, holes, f"{p:.0%} seen / 見える成分"), (1, U @ U.T, name)):
            axes = figure.add_subplot(grid[0, column + offset])
            axes.imshow(picture.numpy(), cmap="RdBu", vmin=-float(M.abs().max()) / 2, vmax=float(M.abs().max()) / 2)
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_xticks([])
            axes.set_yticks([])
    axes = figure.add_subplot(grid[1, :])
    axes.plot(rows["share_seen"], rows["recovered"], "o-", color=BLUE, markersize=4,
              label="starts that recover the table / 成功した割合")
    axes.axvline(least_share(setup.size, setup.rank), color=RED, linestyle=":",
                 label="as many as free numbers (3) / 自由度")
    axes.plot(rows["share_seen"], np.minimum(rows["median_error"], 1.0), color=ORANGE, linewidth=1,
              label="median error (at most 1) / 誤差の中央値")
    quiet(axes, "From failure to certainty / 失敗から確実へ", "share of entries seen p / 見える割合")
    axes.legend(fontsize=9, loc="center right")
    return {"completion": pixels(figure)}
