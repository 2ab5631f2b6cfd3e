"""im2col is torch's unfold in another order, col2im its fold, and the two are adjoint."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.im2col import col2im, im2col

GRID = [((3, 3), 1, 0, 1),
        ((3, 2), 2, 1, 1), ((1, 4), 3, 0, 2), ((2, 2), 2, 0, 1), ((5, 5), 1, 2, 1), ((2, 3), 1, 2, 3)]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("window", GRID)
def test_it_is_unfold_with_places_first(window):
    x = draw(2, 3, 9, 10)
    size, s, p, d = window
    theirs = F.unfold(torch.tensor(x), size, dilation=d, padding=p, stride=s)
    ours = im2col(x, *window).reshape(2, -1, theirs.shape[1])
    assert np.array_equal(ours, theirs.transpose(1, 2).numpy())


@pytest.mark.parametrize("window", GRID)
def test_back_is_fold(window):
    x = draw(2, 3, 9, 10)
    size, s, p, d = window
    u = draw(*im2col(x, *window).shape, seed=1)
    columns = torch.tensor(u.reshape(2, -1, u.shape[1])).transpose(1, 2)
    theirs = F.fold(columns, (9, 10), size, dilation=d, padding=p, stride=s)
    np.testing.assert_allclose(col2im(u, x.shape, *window), theirs.numpy(), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("window", GRID)
def test_the_two_are_adjoint(window):
    x = draw(2, 3, 9, 10)
    u = draw(*im2col(x, *window).shape, seed=1)
    assert (im2col(x, *window) * u).sum() == pytest.approx((x * col2im(u, x.shape, *window)).sum(), rel=1e-12)


@pytest.mark.parametrize("window", GRID)
def test_overwriting_gives_back_what_a_window_covers_and_zero_elsewhere(window):
    x = draw(2, 3, 9, 10)
    covered = col2im(im2col(np.ones_like(x), *window), x.shape, *window) > 0
    back = col2im(im2col(x, *window), x.shape, *window, accumulate=False)
    assert np.array_equal(back, np.where(covered, x, 0))


@pytest.mark.parametrize("window", GRID)
def test_times_the_filters_it_is_conv2d(window):
    size, s, p, d = window
    x, w = draw(2, 3, 9, 10), draw(4, 3, *size, seed=1)
    theirs = F.conv2d(torch.tensor(x), torch.tensor(w), stride=s, padding=p, dilation=d).numpy()
    rows = im2col(x, *window) @ w.reshape(4, -1).T
    ours = rows.reshape(2, *theirs.shape[2:], 4).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64])
def test_the_type_is_kept(kind):
    x = np.arange(32).reshape(2, 1, 4, 4).astype(kind)
    assert im2col(x, (2, 2)).dtype == col2im(im2col(x, (2, 2)), x.shape, (2, 2)).dtype == kind


def test_an_empty_batch_is_an_empty_matrix():
    assert im2col(draw(0, 3, 5, 5), (3, 3)).shape == (0, 27)
    assert col2im(draw(0, 27), (0, 3, 5, 5), (3, 3)).shape == (0, 3, 5, 5)
