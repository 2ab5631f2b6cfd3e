r"""Complex arithmetic as pairs of real arrays (re, im), for libraries that know real numbers alone.

    (a + ib)(c + id) = (ac - bd) + i(ad + bc)                                          (1)
    M = A + iB  acts on (re, im) as the real matrix  [[A, -B], [B, A]]                 (2)
    M^H = A^T - iB^T,   M^+ = (M^H M)^{-1} M^H   for independent columns               (3)
    X_k = sum_n x_n exp(-2 pi i k n / N), split into even and odd n                    (4)

The inverse is read off the inverse of (2). The common formula (A + B A^{-1} B)^{-1} needs an invertible real part,
and fails for a matrix as plain as i times the identity.
"""

from math import pi

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers

Pair = tuple[np.ndarray, np.ndarray]
"""(re, im), two float64 arrays of one shape"""
WHERE = "complex pairs"


def pair(re: ArrayLike, im: ArrayLike) -> Pair:
    """Both parts checked: finite and of one shape."""
    a, b = numbers(WHERE, "re", re), numbers(WHERE, "im", im)
    if a.shape != b.shape:
        raise UserError(WHERE, f"re has the shape {a.shape} and im {b.shape}", "give both the same shape")
    return a, b


def add(x: Pair, y: Pair) -> Pair:
    """x + y, elementwise."""
    _known(x, y)
    return x[0] + y[0], x[1] + y[1]


def multiply(x: Pair, y: Pair) -> Pair:
    """(1), elementwise."""
    _known(x, y)
    (a, b), (c, d) = x, y
    return a * c - b * d, a * d + b * c


def matrix_product(x: Pair, y: Pair) -> Pair:
    """(1) with matrix products: (n, k) and (k, m) -> (n, m)."""
    _known(x, y)
    (a, b), (c, d) = x, y
    if a.ndim != 2 or c.ndim != 2 or a.shape[1] != c.shape[0]:
        raise UserError(WHERE, f"matrices {a.shape} and {c.shape} have no product", "let the inner sizes agree")
    return a @ c - b @ d, a @ d + b @ c


def hermitian(x: Pair) -> Pair:
    """(3), left: transposed and conjugated."""
    _known(x)
    return x[0].T, -x[1].T


def inverse(x: Pair) -> Pair:
    """Through (2); UserError for a singular matrix. The real part may be singular."""
    _known(x)
    a, b = x
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise UserError(WHERE, f"a matrix {a.shape} has no inverse", "give a square matrix")
    n = len(a)
    try:
        whole = np.linalg.solve(np.block([[a, -b], [b, a]]), np.eye(2 * n, n))
    except np.linalg.LinAlgError:
        raise UserError(WHERE, "the matrix is singular", "use pseudo_inverse on independent columns") from None
    return whole[:n], whole[n:]


def pseudo_inverse(x: Pair) -> Pair:
    """(3), right, for matrices (n, m) with independent columns."""
    transposed = hermitian(x)
    return matrix_product(inverse(matrix_product(transposed, x)), transposed)


def fft(x: Pair) -> Pair:
    """(4) of vectors (..., N): halves while N is even, the sum written out for what is left."""
    _known(x)
    if x[0].ndim == 0 or x[0].shape[-1] == 0:
        raise UserError(WHERE, f"there is no transform of {x[0].shape}", "give vectors of one entry at least")
    (a, b), n = x, x[0].shape[-1]
    if n % 2:
        angle = -2 * pi * (np.outer(np.arange(n), np.arange(n)) % n) / n
        turn = np.cos(angle), np.sin(angle)
        return a @ turn[0] - b @ turn[1], a @ turn[1] + b @ turn[0]
    even, odd = fft((a[..., ::2], b[..., ::2])), fft((a[..., 1::2], b[..., 1::2]))
    angle = -2 * pi * np.arange(n // 2) / n
    c, d = multiply((np.cos(angle), np.sin(angle)), odd)
    return np.concatenate([even[0] + c, even[0] - c], -1), np.concatenate([even[1] + d, even[1] - d], -1)


def inverse_fft(x: Pair) -> Pair:
    """The way back: parts swapped before and after, divided by N."""
    _known(x)
    im, re = fft((x[1], x[0]))
    n = x[0].shape[-1]
    return re / n, im / n


def _known(*values: Pair) -> None:
    for x in values:
        two = isinstance(x, tuple) and len(x) == 2 and all(isinstance(part, np.ndarray) for part in x)
        if not two or x[0].shape != x[1].shape:
            raise UserError(WHERE, "an argument is no pair of arrays of one shape", "make it with pair(re, im)")


def _drawn(*shape: int, seed: int = 0) -> tuple[Pair, np.ndarray]:
    re, im = np.random.default_rng(seed).normal(size=(2, *shape))
    return (re, im), re + 1j * im


def _off(x: Pair, z: np.ndarray) -> float:
    return float(np.abs(x[0] + 1j * x[1] - z).max())


def every_function_is_the_complex_one() -> Check:
    """Sum, product, matrix product, Hermitian transpose and both inverses equal complex128 to 1e-12.

    Source: equations (1) to (3)
    """
    (x, u), (y, v), (t, w) = _drawn(6, 6), _drawn(6, 6, seed=1), _drawn(9, 4, seed=2)
    off = [_off(add(x, y), u + v), _off(multiply(x, y), u * v), _off(matrix_product(x, y), u @ v),
           _off(hermitian(t), w.conj().T), _off(inverse(x), np.linalg.inv(u)),
           _off(pseudo_inverse(t), np.linalg.pinv(w))]
    return at_most(max(off), 1e-12)


def the_transform_is_the_sum() -> Check:
    """For N = 1 to 64 the transform meets complex128's to 1e-12, and the inverse brings the vector back.

    Source: Cooley and Tukey 1965; equation (4)
    """
    worst = 0.0
    for n in range(1, 65):
        x, z = _drawn(n, seed=n)
        worst = max(worst, _off(fft(x), np.fft.fft(z)), _off(inverse_fft(fft(x)), z))
    return at_most(worst, 1e-12)


def a_singular_real_part_is_no_hindrance() -> Check:
    """i times the identity and 200 matrices with a real part of rank 1 are inverted: the largest |M M^{-1} - I|.

    Source: equation (2)
    """
    rng, worst = np.random.default_rng(3), 0.0
    cases = [(np.zeros((3, 3)), np.eye(3))]
    cases += [(np.outer(*rng.normal(size=(2, 3))), rng.normal(size=(3, 3)) + 4 * np.eye(3)) for _ in range(200)]
    for x in cases:
        worst = max(worst, _off(matrix_product(x, inverse(x)), np.eye(3)))
    return at_most(worst, 1e-12)


def the_common_formula_needs_the_real_part() -> Check:
    """(A + B A^{-1} B)^{-1} does not exist for i times the identity: 1 of 1 refused by the solver.

    Source: the course's complexlib
    """
    A, B = np.zeros((2, 2)), np.eye(2)
    try:
        np.linalg.inv(A + B @ np.linalg.inv(A) @ B)
    except np.linalg.LinAlgError:
        return at_least(1, 1)
    return at_least(0, 1)


def points_on_the_circle_have_length_one() -> Check:
    """With 0.70107 for 1/sqrt(2) the diagonal points of 8-PSK have the energy 0.98299829, not 1.

    Source: 2 * 0.70107^2; a slip of digits for 0.70711
    """
    _, energy = multiply((np.array(0.70107), np.array(0.70107)), (np.array(0.70107), np.array(0.70107)))
    return about(float(energy), 0.98299829, 1e-8)


CARD = Card(
    name="Complex arithmetic as pairs",
    name_ja="実数の組による複素数演算",
    paper="Cooley and Tukey 1965, doi:10.1090/S0025-5718-1965-0178586-1; Golub and Van Loan 2013, Matrix Computations",
    equations=(r"(a + ib)(c + id) = (ac - bd) + i(ad + bc)",
               r"A + iB \;\to\; [[A, -B], [B, A]]",
               r"M^H = A^T - iB^T,\quad M^+ = (M^H M)^{-1} M^H", r"X_k = \sum_n x_n\, e^{-2\pi i k n / N}"),
    summary="Products, inverses and the Fourier transform of complex arrays held as two real ones.",
    summary_ja="二つの実数配列として持つ複素配列の積・逆行列・フーリエ変換。",
    topics=("maths.complex-pairs",),
    facts=(every_function_is_the_complex_one, the_transform_is_the_sum, a_singular_real_part_is_no_hindrance,
           the_common_formula_needs_the_real_part, points_on_the_circle_have_length_one),
    notes=("The notebook's pseudo_inverse calls c_ht, c_inverse and c_mm, which do not exist: a NameError.",
           "Its inverse needs an invertible real part; the one here does not.",
           "The points of one notebook use 0.70107 for 1/sqrt(2) = 0.70711."),
    notes_ja=("ノートブックの pseudo_inverse は存在しない c_ht、c_inverse、c_mm を呼び、NameError になる。",
              "その逆行列は実部が正則でないと使えない。ここの逆行列は使える。",
              "あるノートブックの点は 1/sqrt(2) = 0.70711 の代わりに 0.70107 を使っている。"),
)
