"""Folding batch normalisation: every kind of layer, every way to read one, and nothing touched that must stay."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shinso.nn.folding import folded, normalised, pairs


def lively(network):
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            if layer.affine:
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.2, 3.0)
    return network.eval()


KINDS = {
    "conv1d": (nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)), (2, 3, 9)),
    "conv2d": (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4)), (2, 3, 9, 9)),
    "grouped": (nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)), (2, 4, 9, 9)),
    "conv3d": (nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4)), (2, 1, 5, 5, 5)),
    "transposed": (nn.Sequential(nn.ConvTranspose2d(3, 4, 3, 2), nn.BatchNorm2d(4)), (2, 3, 5, 5)),
    "matrix": (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), (5, 3)),
    "without scale": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), (2, 3, 9, 9)),
    "other eps": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=0.5), nn.ReLU(inplace=True)), (2, 3, 9, 9)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_is_folded(kind):
    network, shape = KINDS[kind]
    lively(network)
    x = torch.randn(shape)
    before, names = network(x), list(network.state_dict())
    lean = folded(network, x)
    assert isinstance(lean[1], nn.Identity)
    torch.testing.assert_close(lean(x), before, rtol=1e-5, atol=1e-5)
    assert torch.equal(network(x), before) and list(network.state_dict()) == names, "the network itself is untouched"


class Reads(nn.Module):
    """A convolution and a normalisation, joined in a way that `forward` says."""

    def __init__(self, way):
        super().__init__()
        self.way, self.conv, self.bn = way, nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.way(self, x)


WAYS = {
    "another reads it before": lambda m, x: (lambda h: h.abs() + m.bn(h))(m.conv(x)),
    "another reads it after": lambda m, x: (lambda h: m.bn(h) + h)(m.conv(x)),
    "another joins it in a list": lambda m, x: (lambda h: torch.cat([m.bn(h), h], 1))(m.conv(x)),
    "a bend in between": lambda m, x: m.bn(F.relu(m.conv(x))),
    "the convolution is used twice": lambda m, x: m.bn(m.conv(x)) + m.conv(x),
    "the normalisation is used twice": lambda m, x: m.bn(m.conv(x)) + m.bn(x),
    "the normalisation comes first": lambda m, x: m.conv(m.bn(x)),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_has_another_reader_stays(way):
    network, x = lively(Reads(WAYS[way])), torch.randn(2, 3, 6, 6)
    assert pairs(network, x) == []
    assert torch.equal(folded(network, x)(x), network(x))


def test_asking_for_a_shape_is_no_reading():
    network, x = lively(Reads(lambda m, x: (lambda h: m.bn(h) * h.shape[2])(m.conv(x)))), torch.randn(2, 3, 6, 6)
    assert pairs(network, x) == [("conv", "bn")]


def test_a_grouped_transposed_convolution_and_a_norm_without_memory_stay():
    x = torch.randn(2, 4, 5, 5)
    grouped = lively(nn.Sequential(nn.ConvTranspose2d(4, 4, 3, groups=2), nn.BatchNorm2d(4)))
    forgetful = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    assert pairs(grouped, x) == pairs(forgetful, x) == []


def test_modes_and_memory_are_left_as_they_were():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    network[1].eval()
    before = copy.deepcopy(network.state_dict())
    folded(network, torch.randn(2, 3, 6, 6))
    assert [layer.training for layer in network] == [True, False, True]
    assert all(torch.equal(w, before[name]) for name, w in network.state_dict().items())


def test_channels_last_and_half_precision_stay():
    network = lively(nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8))).to(torch.bfloat16)
    network.to(memory_format=torch.channels_last)
    lean = folded(network, torch.randn(1, 4, 6, 6, dtype=torch.bfloat16))
    assert lean[0].weight.dtype == torch.bfloat16
    assert lean[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_gradients_of_the_formula_are_torchs():
    from oracles import agree

    x, gamma, beta = torch.randn(3, 4, 2, 2).double(), torch.randn(4).double(), torch.randn(4).double()
    agree(normalised, lambda x, g, b: F.batch_norm(x, None, None, g, b, True), x, gamma, beta, within=1e-10)
