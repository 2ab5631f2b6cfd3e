"""Singular values against NumPy and SciPy, signs, and what is refused."""

import numpy as np
import pytest
from scipy import linalg

from shinso.core.errors import UserError
from shinso.maths.svd import svd


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (20, 20)])
def test_singular_values_are_scipys(shape):
    A = np.random.default_rng(0).normal(size=shape)
    assert np.allclose(svd(A).s, linalg.svd(A, compute_uv=False, lapack_driver="gesvd"), rtol=1e-12)


def test_signs_are_settled():
    A = np.random.default_rng(1).normal(size=(6, 4))
    f = svd(A)
    assert (f.U[np.abs(f.U).argmax(0), np.arange(4)] > 0).all()
    g = svd(-A)
    assert np.allclose(g.U, f.U, atol=1e-12) and np.allclose(g.V, -f.V, atol=1e-12)


def test_a_matrix_of_rank_two_needs_two_terms():
    rng = np.random.default_rng(2)
    A = rng.normal(size=(8, 2)) @ rng.normal(size=(2, 9))
    f = svd(A)
    assert np.allclose(f.low_rank(2), A, atol=1e-13) and f.spectral_error(2) < 1e-13 and f.frobenius_error(8) == 0
    assert (f.low_rank(0) == 0).all() and f.frobenius_error(0) == pytest.approx(np.linalg.norm(A), rel=1e-14)


def test_a_zero_matrix_has_factors():
    f = svd(np.zeros((3, 2)))
    assert (f.s == 0).all() and np.allclose(f.U.T @ f.U, np.eye(2))


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [[np.nan]], np.zeros((0, 3)), [["a"]], [[1j]]])
def test_what_is_no_matrix_is_refused(wrong):
    with pytest.raises(UserError, match="svd"):
        svd(wrong)


def test_a_rank_out_of_range_is_refused():
    with pytest.raises(UserError, match="rank 4"):
        svd(np.eye(3)).low_rank(4)
