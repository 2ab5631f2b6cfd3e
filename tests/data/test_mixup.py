"""Mixed examples as they come out of batches, and what a training makes of them."""

from dataclasses import replace

import pytest
import torch
from oracles import records
from scipy import stats

from shinso.core.errors import UserError
from shinso.data.batches import Batches
from shinso.data.examples import open_data
from shinso.data.mixup import Mixup, mixed, shares
from shinso.vision import cifar_resnet


def test_shares_are_distributed_as_beta():
    _, share = Mixup(seed=5, alpha=0.4)(torch.arange(20_000), 0, 10)
    assert stats.kstest(share.numpy(), stats.beta(0.4, 0.4).cdf).statistic < 0.015


def test_what_comes_out_is_equation_one():
    data = open_data("digits")
    plain, both = Batches(data.train, data.about, 50, seed=0), Batches(data.train, data.about, 50, seed=0,
                                                                       mix=Mixup(seed=1))
    index = plain.order[:50]
    partners, share = Mixup(seed=1)(index, 0, len(data.train))
    inputs, targets = both.next()
    whole, classes = plain.next()
    others = plain._inputs(partners)
    assert torch.allclose(inputs, share.view(-1, 1, 1, 1) * whole + (1 - share).view(-1, 1, 1, 1) * others, atol=1e-6)
    assert targets.shape == (50, 10)
    expected = torch.zeros(50, 10)
    expected[torch.arange(50), classes] += share
    expected[torch.arange(50), data.train.targets[partners]] += 1 - share
    assert torch.allclose(targets, expected, atol=1e-6)


def test_the_mixture_of_an_example_does_not_depend_on_its_batch():
    data = open_data("digits")
    whole, small = (Batches(data.train, data.about, size, seed=0, mix=Mixup(seed=1)) for size in (60, 20))
    inputs, targets = whole.next()
    parts = [small.next() for _ in range(3)]
    assert torch.equal(torch.cat([x for x, _ in parts]), inputs)
    assert torch.equal(torch.cat([y for _, y in parts]), targets)


def test_all_of_one_is_that_one():
    x, y = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
    assert torch.allclose(mixed(x, y, torch.ones(4)), x) and torch.equal(mixed(x, y, torch.zeros(4)), y)
    assert shares(torch.tensor([2]), torch.tensor([2]), torch.tensor([0.3]), 4).tolist() == [[0, 0, 1, 0]]


@pytest.mark.parametrize("change", [{"mixup": 0.4}, {"cutout": 6}, {"colour": 0.4}, {"mixup": 1.0, "accumulate": 2},
                                    {"mixup": 0.2, "class_weights": "balanced"}])
def test_a_network_learns_from_changed_pictures(change):
    setup = replace(cifar_resnet.VARIANTS["smoke"], epochs=2, **change)
    rows = records(cifar_resnet.build(setup))
    losses = torch.tensor([row["loss"] for row in rows])
    assert losses.isfinite().all() and losses[-10:].mean() < losses[:10].mean()


def test_less_than_nothing_is_refused():
    with pytest.raises(UserError, match="less than nothing"):
        cifar_resnet.build(replace(cifar_resnet.VARIANTS["smoke"], mixup=-0.1))
