r"""Matrix completion: a table of low rank, guessed whole from half of its entries.

    L(U) = sum over observed (i, j) of (Y_ij - (U U^T)_ij)^2            (1)
    dL/dU = 4 R U,   R_ij = (U U^T - Y)_ij where observed, else 0       (2)

Y is symmetric and so is the pattern of what is observed. L is far from convex: U and U Q with any rotation Q fit alike,
and U = 0 is a saddle. The surprise: gradient descent from anywhere nearly always finds Y, the unseen half included,
because under assumptions on Y and the pattern all local minima are global.

Ge, Lee, Ma 2016; Bhojanapalli, Neyshabur, Srebro 2016.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import fits
from shinso.core.card import Card, Check, about, at_most, exactly


@final
class MatrixCompletion:
    """Factors (..., n, rank) and the table (n, n) -> a number; `observed` is a symmetric pattern (n, n) of bools.

    Leading axes of the factors are starts of their own; their losses, kept in `each`, are added.
    """

    def __init__(self, observed: np.ndarray):
        fits("matrix completion", "the transposed pattern", observed.T.shape, observed.shape)
        self.observed = observed

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        fits("matrix completion", "the table", target.shape, self.observed.shape)
        fits("matrix completion", "the factor", prediction.shape[-2:-1], target.shape[:1])
        self.factor = prediction
        self.off = np.where(self.observed, prediction @ prediction.swapaxes(-1, -2) - target, 0)
        self.each = (self.off * self.off).sum((-2, -1))  # (1)
        return float(self.each.sum())

    def backward(self, grad: float = 1.0) -> np.ndarray:
        return (self.off @ self.factor) * (4 * grad)  # (2)


def planted(seed: int, *, size: int = 20, share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A table of rank 2 whose rows lie on a circle, and the symmetric pattern of the share that is observed."""
    draw = np.random.default_rng(seed)
    angle = draw.uniform(0, 2 * np.pi, size)
    rows = 1.4 * np.stack([np.cos(angle), np.sin(angle)], 1)
    upper = np.triu(draw.random((size, size)) < share)
    return rows @ rows.T, upper | upper.T


def descend(loss: MatrixCompletion, table: np.ndarray, factors: np.ndarray, steps: int = 1000) -> np.ndarray:
    """The factors after plain gradient steps of length 0.01."""
    for _ in range(steps):
        loss.forward(factors, table)
        factors = factors - 0.01 * loss.backward()
    return factors


def example(rng: np.random.Generator) -> tuple[MatrixCompletion, tuple[np.ndarray, np.ndarray]]:
    """A table of 5x5 and one factor of rank 2."""
    table, observed = planted(3, size=5)
    return MatrixCompletion(observed), (rng.normal(size=(5, 2)), table)


def _from_twenty_starts(world: int) -> tuple[np.ndarray, float]:
    """The losses of 20 random starts after the descent, and the largest error on all 400 entries."""
    table, observed = planted(world)
    loss = MatrixCompletion(observed)
    factors = descend(loss, table, np.random.default_rng(100 + world).normal(size=(20, 20, 2)))
    loss.forward(factors, table)
    return loss.each, float(np.abs(factors @ factors.swapaxes(1, 2) - table).max())


def twenty_starts_end_at_the_same_value() -> Check:
    """Of a 20x20 table of rank 2, half observed, all 20 random starts reach a loss below 1e-8.

    Source: Ge, Lee, Ma 2016, theorem 1: all local minima are global
    """
    return exactly(float((_from_twenty_starts(1)[0] < 1e-8).sum()), 20)


def the_unseen_half_is_found() -> Check:
    """All 20 of them know the entries that were never seen: the largest error of all is below 1e-5.

    Source: Ge, Lee, Ma 2016, theorem 1
    """
    return at_most(_from_twenty_starts(1)[1], 1e-5)


def a_rotation_changes_nothing() -> Check:
    """U and U Q have the same loss for a rotation Q, to 1e-13.

    Source: (U Q)(U Q)^T = U U^T
    """
    loss, (u, table) = example(np.random.default_rng(0))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    return at_most(abs(loss.forward(u, table) - loss.forward(u @ turn, table)), 1e-13)


def zero_is_a_saddle() -> Check:
    """At U = 0 the gradient is exactly 0 and the loss falls both ways along Y's first eigenvector.

    Source: equation (2); Ge, Lee, Ma 2016 call such points strict saddles
    """
    table, observed = planted(1)
    loss, zero = MatrixCompletion(observed), np.zeros((20, 2))
    start = loss.forward(zero, table)
    still = np.abs(loss.backward()).max()
    way = zero + 0.1 * np.linalg.eigh(table)[1][:, -1:]
    falls = loss.forward(way, table) < start and loss.forward(-way, table) < start
    return exactly(float(still) if falls else 1.0, 0)


def the_assumptions_matter() -> Check:
    """Of 12 such tables 10 let all of 20 starts through; in the others 1 start of 20 stays above 50.

    Source: Ge, Lee, Ma 2016 ask for more observed entries than half of so small a table, and the slide for nothing
    """
    worlds = [_from_twenty_starts(world)[0] for world in range(12)]
    all_through = sum(bool((each < 1e-8).all()) for each in worlds)
    stuck = [int((each > 50).sum()) for each in worlds if (each >= 1e-8).any()]
    return about(all_through if set(stuck) == {1} else 0, 10, 0)


CARD = Card(
    name="Low-rank matrix completion",
    name_ja="低ランク行列補完",
    paper="Ge, Lee, Ma 2016, Matrix completion has no spurious local minimum, arXiv:1605.07272",
    equations=(
        r"L(U) = \sum_{(i,j) \in \Omega} (Y_{ij} - (U U^T)_{ij})^2",
        r"\frac{\partial L}{\partial U} = 4 R U,\quad R_{ij} = (U U^T - Y)_{ij}\ [(i,j) \in \Omega]",
    ),
    summary="A table of low rank guessed whole from half of its entries, by plain gradient descent from anywhere.",
    summary_ja="低ランクの表を、半分の成分から、どこから始めても単純な勾配降下で丸ごと言い当てる。",
    topics=("nn.matrix-completion-loss",),
    facts=(
        twenty_starts_end_at_the_same_value,
        the_unseen_half_is_found,
        a_rotation_changes_nothing,
        zero_is_a_saddle,
        the_assumptions_matter,
    ),
    notes=("The slide says that all local minima are global without the theorem's assumptions (incoherent rows, enough "
           "random samples): for 20x20 tables half observed, a start in a few hundred does get stuck.",),
    notes_ja=("スライドは定理の仮定(行の非干渉性、十分な無作為標本)を挙げずに、局所解はすべて大域解だと述べる。20x20"
              " の表の半分を"
              "観測する場合、数百回に一回ほどの初期値は実際に行き詰まる。",),
)
