"""Pairs against torch's complex128."""

import numpy as np
import pytest
import torch

from shinso.core.errors import UserError
from shinso.maths.complex_pairs import (
    fft,
    hermitian,
    inverse,
    inverse_fft,
    matrix_product,
    multiply,
    pair,
    pseudo_inverse,
)


def drawn(*shape, seed=0):
    re, im = np.random.default_rng(seed).normal(size=(2, *shape))
    return (re, im), torch.complex(torch.from_numpy(re), torch.from_numpy(im))


def same(ours, theirs):
    return torch.allclose(torch.complex(*map(torch.from_numpy, ours)), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_matrices_are_torchs(n):
    (x, u), (y, v) = drawn(n, n), drawn(n, n, seed=1)
    assert same(matrix_product(x, y), u @ v) and same(multiply(x, y), u * v) and same(hermitian(x), u.mH)
    assert same(inverse(x), torch.linalg.inv(u))
    t, w = drawn(n + 3, n, seed=2)
    assert same(pseudo_inverse(t), torch.linalg.pinv(w))


@pytest.mark.parametrize("shape", [(1,), (12,), (64,), (4, 10), (2, 3, 7)])
def test_the_transform_is_torchs(shape):
    x, u = drawn(*shape)
    assert same(fft(x), torch.fft.fft(u)) and same(inverse_fft(x), torch.fft.ifft(u))


def test_wrong_shapes_and_singular_matrices_are_refused():
    with pytest.raises(UserError, match="shape"):
        pair([1.0], [1.0, 2.0])
    with pytest.raises(UserError, match="singular"):
        inverse((np.ones((2, 2)), np.zeros((2, 2))))
    with pytest.raises(UserError, match="square"):
        inverse((np.ones((2, 3)), np.zeros((2, 3))))
    with pytest.raises(UserError, match="product"):
        matrix_product((np.ones((2, 3)), np.ones((2, 3))), (np.ones((2, 3)), np.ones((2, 3))))
