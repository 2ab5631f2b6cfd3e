"""The noise of a batch's gradient against its law, and gradients against autograd."""

import pytest
import torch
from oracles import records
from torch.nn import functional as F

from shinso.basics import large_batch
from shinso.core.seed import generator
from shinso.data.digits import originals


def test_the_mean_gradient_is_that_of_the_mean_loss():
    images, labels = originals()
    order = torch.randperm(1797, generator=generator(0, "examples"))[:50]
    x = torch.from_numpy(images.reshape(-1, 64) / 16.0)[order]
    x = torch.cat([x, torch.ones(50, 1, dtype=x.dtype)], 1)
    W = 0.1 * torch.randn(65, 10, generator=generator(0, "weights"), dtype=x.dtype)
    W.requires_grad_()
    F.cross_entropy(x @ W, torch.from_numpy(labels)[order]).backward()
    assert W.grad is not None
    torch.testing.assert_close(large_batch.gradients(50, 0).mean(0).view(65, 10), W.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("variant", ["default", "epoch"])
def test_every_size_obeys_its_law(variant):
    rows = records(large_batch.build(large_batch.VARIANTS[variant]))
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    assert all(row["within"] < row["predicted"] or row["predicted"] < 1e-3 for row in rows)


def test_all_batches_of_two_without_putting_back_add_up_to_the_law():
    each = torch.randn(6, 3, dtype=torch.float64)
    pairs = torch.combinations(torch.arange(6), 2)
    exact = (each[pairs].mean(1) - each.mean(0)).square().sum(1).mean()
    assert large_batch.law(each, 2, put_back=False) == pytest.approx(float(exact), rel=1e-12)
