"""Slopes are those of the score, for any network, in any mode of autograd."""

import pytest
import torch
from torch import nn

from shinso.inside.saliency import saliency, slope


def test_a_map_is_the_largest_slope_over_the_channels():
    network, x = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5)), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(saliency(network, x), slope(network, x).abs().amax(1), rtol=0, atol=0)
    assert saliency(network, x).shape == (2, 4, 4)


def test_without_classes_the_best_ones_are_meant():
    network, x = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 5)), torch.randn(4, 3, 4, 4)
    assert torch.equal(slope(network, x), slope(network, x, network(x).argmax(1)))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_works_wherever_it_is_asked(mode):
    network, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), torch.randn(2, 3, 2, 2)
    expected = slope(network, x)
    with mode():
        assert torch.equal(slope(network, x.clone()), expected)


def test_weights_that_are_frozen_do_not_matter():
    network, x = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 5)), torch.randn(2, 3, 4, 4)
    expected = slope(network, x)
    assert torch.equal(slope(network.requires_grad_(False), x), expected)


def test_the_network_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 5))
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    slope(network, x)
    assert [m.training for m in network] == [True, False, True, True, True]
    assert x.grad is None and all(w.grad is None for w in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
