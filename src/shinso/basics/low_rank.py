r"""Low-rank images: digits rebuilt from their first singular values, one more at each step.

    A = sum_i s_i u_i v_i^T,   A_k = sum_{i <= k} s_i u_i v_i^T                        (1)
    |A - A_k|_F = (s_{k+1}^2 + s_{k+2}^2 + ...)^{1/2},   |A - A_k|_2 = s_{k+1}         (2)

Step k adds a term, measures what is still missing, and writes beside it what (2) predicted from the singular values
alone, before the image was built. The surprise: no matrix of rank k comes nearer, for any image, and a page of
handwriting needs few terms, while noise of the same size needs nearly all of them.

Beltrami 1873; Eckart and Young 1936.
"""

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import torch

from shinso.core.axes import BLUE, ORANGE, bare, quiet
from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.data.digits import COUNT, enlarged, originals
from shinso.maths.svd import SVD, svd


@final
class LowRank:
    """Step i shows the image of rank i; the whole image comes at the last step."""

    def __init__(self, setup: "Setup"):
        self.page = _page(setup)
        self.factors = svd(self.page)
        self.k, self.total = 0, len(self.factors.s) + 1
        self.whole = float(np.linalg.norm(self.page))

    def step(self, i: int) -> Record:
        self.k = i
        left = self.page - self.factors.low_rank(i)  # (1)
        rows, columns = self.page.shape
        measured, predicted = float(np.linalg.norm(left)), self.factors.frobenius_error(i)  # (2)
        return {"loss": (measured / self.whole) ** 2, "rank": float(i), "measured": measured, "predicted": predicted,
                "within": 1e-12 * self.whole, "stretch": float(np.linalg.norm(left, 2)),
                "stretch_predicted": self.factors.spectral_error(i),
                "stored": i * (rows + columns + 1) / (rows * columns)}

    def state(self) -> dict[str, Any]:
        return {"rank": self.k}

    def restore(self, state: dict[str, Any]) -> None:
        self.k = int(state["rank"])

    def pictures(self) -> dict[str, np.ndarray]:
        """The page at growing ranks up to the present one, and the way of the error beside its prediction."""
        return {"ranks": _ranks(self.page, self.factors, self.k), "tail": _tail(self.page, self.factors, self.k)}


def _page(setup: "Setup") -> np.ndarray:
    """A square of side x side digits, or noise of the same size, with values from 0 to 1: float64."""
    size, draw = 28 * setup.across, generator(setup.seed, "page")
    if setup.source == "noise":
        return torch.rand(size, size, generator=draw, dtype=torch.float64).numpy()
    chosen = torch.randperm(COUNT, generator=draw)[: setup.across**2].numpy()
    tiles = enlarged(originals()[0][chosen]) / 255
    return tiles.reshape(setup.across, setup.across, 28, 28).transpose(0, 2, 1, 3).reshape(size, size)


def _ranks(page: np.ndarray, factors: SVD, k: int) -> np.ndarray:
    doubled = [0, 1, 2, 4, 8, 16, 32, 64, 128]
    shown = sorted({min(r, k) for r in doubled} | {k})[-7:]
    figure = sheet(900, 480)
    axes = list(figure.subplots(2, 4).flat)
    for one, rank in zip(axes, shown, strict=False):
        share = factors.frobenius_error(rank) / np.linalg.norm(page)
        bare(one, factors.low_rank(rank).clip(0, 1), f"rank {rank}: {100 * share:.1f} % missing")
    for one in axes[len(shown) : -1]:
        one.set_axis_off()
    bare(axes[-1], page, "the page itself")
    return pixels(figure)


def _tail(page: np.ndarray, factors: SVD, k: int) -> np.ndarray:
    figure = sheet(700, 400)
    axes = figure.subplots()
    ranks, done = np.arange(len(factors.s)), np.arange(k + 1)[: len(factors.s)]
    axes.semilogy(ranks, [factors.frobenius_error(int(r)) for r in ranks], color=BLUE, label="predicted, all the rest")
    axes.semilogy(ranks, np.maximum(factors.s, 1e-16), color=ORANGE, label="predicted, the next term")
    axes.semilogy(done, [np.linalg.norm(page - factors.low_rank(r)) for r in done], "o", color=BLUE, markersize=4,
                  fillstyle="none", label="measured")
    axes.semilogy(done, [np.linalg.norm(page - factors.low_rank(r), 2) for r in done], "o", color=ORANGE,
                  markersize=4, fillstyle="none")
    axes.set_ylim(max(factors.s[0] * 1e-8, 1e-12), None)
    quiet(axes, "what is missing", "rank k").legend(frameon=False)
    return pixels(figure)


def _terms(setup: "Setup", share: float) -> int:
    """How many terms leave at most `share` of the norm missing."""
    page = _page(setup)
    factors = svd(page)
    missing = [factors.frobenius_error(k) / np.linalg.norm(page) for k in range(len(factors.s) + 1)]
    return int(np.argmax(np.array(missing) <= share))


def every_rank_misses_what_was_predicted() -> Check:
    """At all 57 ranks of a page of 2 x 2 digits both errors are the predicted ones, to 1e-12 of the page's norm.

    Source: Eckart and Young 1936; equation (2)
    """
    program, worst = LowRank(Setup(across=2)), 0.0
    for i in range(program.total):
        row = program.step(i)
        worst = max(worst, abs(float(row["measured"]) - float(row["predicted"])),
                    abs(float(row["stretch"]) - float(row["stretch_predicted"])))
    return at_most(worst / program.whole, 1e-12)


def the_last_rank_is_the_page() -> Check:
    """All terms together give the page back, and the directions are orthonormal: the largest error, to 1e-12.

    Source: Beltrami 1873; equation (1)
    """
    program = LowRank(Setup())
    f = program.factors
    back = np.abs(f.low_rank(len(f.s)) - program.page).max()
    square = max(np.abs(Q.T @ Q - np.eye(Q.shape[1])).max() for Q in (f.U, f.V))
    return at_most(float(max(back, square)), 1e-12)


def handwriting_needs_fewer_terms_than_noise() -> Check:
    """To miss at most a tenth of the norm, noise of the same size needs at least 3 times as many terms.

    Source: the tail of the singular values; Marchenko and Pastur 1967 for the noise
    """
    return at_least(_terms(Setup(source="noise"), 0.1) / _terms(Setup(), 0.1), 3.0)


def pixels_that_are_simply_dropped_are_worse() -> Check:
    """Keeping every fourth row and repeating it has the same rank and misses more: the ratio of errors on a page.

    Source: Eckart and Young 1936: nobody does better
    """
    program = LowRank(Setup())
    coarse = np.repeat(program.page[::4], 4, axis=0)
    rank = len(program.page) // 4
    return at_least(float(np.linalg.norm(program.page - coarse)) / program.factors.frobenius_error(rank), 1.0)


CARD = Card(
    name="Low-rank images",
    name_ja="特異値分解による画像の低ランク近似",
    paper="Eckart and Young 1936, doi:10.1007/BF02288367; Beltrami 1873",
    equations=(r"A = \sum_i s_i u_i v_i^T,\quad A_k = \sum_{i \leq k} s_i u_i v_i^T",
               r"\|A - A_k\|_F = \sqrt{\sum_{i > k} s_i^2},\quad \|A - A_k\|_2 = s_{k+1}"),
    summary="Rebuilds a page of digits term by term; what is missing is known before the page is built.",
    summary_ja="手書き数字のページを一項ずつ組み立てる。足りない量は、組み立てる前に特異値から分かる。",
    topics=("maths.svd",),
    facts=(every_rank_misses_what_was_predicted, the_last_rank_is_the_page, handwriting_needs_fewer_terms_than_noise,
           pixels_that_are_simply_dropped_are_worse),
    notes=("Libraries return V^T, not V, and the signs of singular vectors are not unique: here they are settled.",),
    notes_ja=("ライブラリは V ではなく V^T を返し、特異ベクトルの符号は一意でない。ここでは符号を定めている。",),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Which page is taken apart."""

    source: Literal["digits", "noise"] = "digits"
    """handwritten digits, or noise of the same size to compare with"""
    across: int = 3
    """digits on each side of the square page, from 2"""
    seed: int = 0
    """of the choice of the digits, or of the noise"""


VARIANTS = {
    "smoke": Setup(across=2),
    "default": Setup(),
    "noise": Setup(source="noise"),
}


def build(setup: Setup, place: Place = Place()) -> LowRank:  # noqa: B008 - a frozen value
    """The program at rank 0; it computes in float64 on the CPU wherever `place` is."""
    in_range(setup, ("across",))
    if not 2 <= setup.across <= 20:
        raise UserError("across", f"{setup.across} digits on a side are not from 2 to 20", "give a number from 2 to 20")
    return LowRank(setup)
