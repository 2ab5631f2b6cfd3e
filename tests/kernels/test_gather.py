"""normalised_rows equals index_select and the arithmetic of the twin."""

import pytest
import torch

from shinso.kernels.gather import normalised_rows, normalised_rows_plain


@pytest.mark.parametrize("shape", [(50, 1, 28, 28), (50, 3, 8, 5), (50, 7), (50, 4, 3)])
@pytest.mark.parametrize("batch", [0, 1, 17])
def test_rows_equal_the_twin(shape, batch):
    draw = torch.Generator().manual_seed(0)
    data = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
    index = torch.randint(0, shape[0], (batch,), generator=draw)
    mean, std = torch.rand(shape[1], generator=draw), torch.rand(shape[1], generator=draw) + 0.1
    ours, theirs = normalised_rows(data, index, mean, std), normalised_rows_plain(data, index, mean, std)
    assert ours.shape == theirs.shape and ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-6)


def test_views_that_are_not_contiguous_are_read_rightly():
    data = torch.arange(240, dtype=torch.uint8).reshape(10, 2, 4, 3).transpose(2, 3)
    index = torch.arange(20)[::2] // 2
    mean, std = torch.tensor([0.1, 0.2]), torch.tensor([0.5, 0.6])
    torch.testing.assert_close(normalised_rows(data, index, mean, std), normalised_rows_plain(data, index, mean, std))


@pytest.mark.parametrize("bad", [-1, 10])
def test_an_index_out_of_range_is_an_index_error(bad):
    data = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(IndexError):
        normalised_rows(data, torch.tensor([0, bad]), torch.zeros(1), torch.ones(1))
