r"""Singular value decomposition: every matrix rotates, stretches along the axes and rotates again (Beltrami 1873).

    A = U Sigma V^T,  U^T U = V^T V = I,  Sigma = diag(s_1 >= s_2 >= ... >= 0)                     (1)
    A_k = sum_{i <= k} s_i u_i v_i^T                                                               (2)

The surprise (Eckart and Young 1936): stopping the sum after k terms is the best that any matrix of rank k can do,

    min_{rank B <= k} |A - B|_2 = s_{k+1},   min_{rank B <= k} |A - B|_F = (sum_{i > k} s_i^2)^{1/2}    (3)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers


@dataclass(frozen=True)
class SVD:
    """The factors of a (rows, columns) matrix with r = min(rows, columns): U (rows, r), s (r,), V (columns, r)."""

    U: np.ndarray
    s: np.ndarray
    V: np.ndarray

    def low_rank(self, k: int) -> np.ndarray:
        """(2): the nearest matrix of rank at most `k`."""
        self._known(k)
        return (self.U[:, :k] * self.s[:k]) @ self.V[:, :k].T

    def spectral_error(self, k: int) -> float:
        """(3), left: the largest stretching that A - A_k has left."""
        self._known(k)
        return float(self.s[k]) if k < len(self.s) else 0.0

    def frobenius_error(self, k: int) -> float:
        """(3), right: the root of the squares that are left out."""
        self._known(k)
        return float(np.linalg.norm(self.s[k:]))

    def _known(self, k: int) -> None:
        if not 0 <= k <= len(self.s):
            raise UserError("svd", f"there is no rank {k} here", f"give 0 to {len(self.s)}")


def svd(matrix: ArrayLike) -> SVD:
    """(1) with V, not V^T; the entry of largest size in each column of U is positive, which settles the signs."""
    A = numbers("svd", "matrix", matrix, 2)
    if 0 in A.shape:
        raise UserError("svd", f"the matrix of shape {A.shape} has no entry", "give at least one row and column")
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    sign = np.where(U[np.abs(U).argmax(0), np.arange(len(s))] < 0, -1.0, 1.0)
    return SVD(U * sign, s, Vt.T * sign)


def _matrices() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in ((5, 5), (7, 4), (4, 9), (1, 6), (30, 20))]


def the_factors_give_the_matrix_back() -> Check:
    """U Sigma V^T differs from A by at most 1e-12 of its largest singular value, over five shapes.

    Source: Beltrami 1873; equation (1)
    """
    pairs = [(A, svd(A)) for A in _matrices()]
    return at_most(max(float(np.abs(A - f.low_rank(len(f.s))).max() / f.s[0]) for A, f in pairs), 1e-12)


def the_columns_are_orthonormal() -> Check:
    """U^T U and V^T V differ from the identity by at most 1e-12.

    Source: equation (1)
    """
    off = [np.abs(Q.T @ Q - np.eye(Q.shape[1])).max() for f in map(svd, _matrices()) for Q in (f.U, f.V)]
    return at_most(float(max(off)), 1e-12)


def stopping_early_costs_the_tail() -> Check:
    """Measured for every k, |A - A_k| in both norms equals s_{k+1} and the root of the tail squares to 1e-12 of s_1.

    Source: Eckart and Young 1936; Mirsky 1960
    """
    worst = 0.0
    for A in _matrices():
        f = svd(A)
        for k in range(len(f.s) + 1):
            left = A - f.low_rank(k)
            worst = max(worst, abs(np.linalg.norm(left, 2) - f.spectral_error(k)) / f.s[0],
                        abs(np.linalg.norm(left) - f.frobenius_error(k)) / f.s[0])
    return at_most(float(worst), 1e-12)


def nobody_does_better() -> Check:
    """2,000 other matrices of rank k, near A_k and far from it, are never nearer to A: the smallest ratio of errors.

    Source: Eckart and Young 1936
    """
    rng, least = np.random.default_rng(1), np.inf
    A = rng.normal(size=(6, 5))
    f = svd(A)
    for i in range(2000):
        k, size = 1 + i % 4, 10.0 ** rng.uniform(-6, 1)
        left = f.U[:, :k] * f.s[:k] + size * rng.normal(size=(6, k))
        other = left @ (f.V[:, :k] + size * rng.normal(size=(5, k))).T
        least = min(least, np.linalg.norm(A - other) / f.frobenius_error(k),
                    np.linalg.norm(A - other, 2) / f.spectral_error(k))
    return at_least(float(least), 1 - 1e-12)


def v_is_not_its_transpose() -> Check:
    """Taking V where V^T belongs does not give A back: the error relative to A.

    Source: libraries return V^T under the name V
    """
    A = _matrices()[0]
    f = svd(A)
    return at_least(float(np.linalg.norm(f.U @ np.diag(f.s) @ f.V - A) / np.linalg.norm(A)), 0.5)


CARD = Card(
    name="Singular value decomposition",
    name_ja="特異値分解",
    paper="Beltrami 1873; Eckart and Young 1936, doi:10.1007/BF02288367",
    equations=(
        r"A = U \Sigma V^T,\quad U^T U = V^T V = I",
        r"A_k = \sum_{i \leq k} s_i\, u_i v_i^T",
        r"\min_{\mathrm{rank}\,B \leq k} \|A - B\|_2 = s_{k+1},\quad"
        r" \min_{\mathrm{rank}\,B \leq k} \|A - B\|_F = \sqrt{\sum_{i>k} s_i^2}",
    ),
    summary="Splits a matrix into rotation, stretching and rotation; the first k terms are its best image of rank k.",
    summary_ja="行列を回転・伸縮・回転に分ける。最初のk項が、ランクkでの最良の近似になる。",
    topics=(),
    facts=(the_factors_give_the_matrix_back, the_columns_are_orthonormal, stopping_early_costs_the_tail,
           nobody_does_better, v_is_not_its_transpose),
    notes=("Libraries return V^T under the name V; here V has the right singular vectors as columns.",
           "The signs of a pair (u, v) are free; here the entry of largest size of each u is positive."),
    notes_ja=("多くのライブラリは V という名で V^T を返す。ここの V は右特異ベクトルを列に持つ。",
              "組 (u, v) の符号は一意でない。ここでは各 u の絶対値最大の成分を正とする。"),
)
