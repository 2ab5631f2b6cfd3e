"""Grad-CAM finds what it should, beside a computation of its own, and leaves the network as it was."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shinso.inside.grad_cam import evidence, grad_cam, over


class Net(nn.Module):
    """Everything in place that can be."""

    def __init__(self):
        super().__init__()
        self.a, self.bn, self.b = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3)
        self.top = nn.Linear(6, 3)

    def forward(self, x):
        h = F.relu(self.bn(self.a(x)), inplace=True)
        return self.top(F.relu(self.b(h), inplace=True).mean((2, 3)))


@pytest.mark.parametrize("layer", ["a", "bn", "b"])
def test_it_is_the_formula_worked_out_apart(layer):
    network, x = Net().double().eval(), torch.randn(3, 1, 9, 9, dtype=torch.float64)
    classes = torch.tensor([2, 0, 1])
    a = network.a(x)
    bn = network.bn(a)
    b = network.b(bn.relu())
    maps = {"a": a, "bn": bn, "b": b}[layer]
    score = network.top(b.relu().mean((2, 3))).gather(1, classes[:, None]).sum()
    alpha = torch.autograd.grad(score, maps)[0].mean((2, 3), keepdim=True)
    expected = (alpha * maps).sum(1).detach()
    torch.testing.assert_close(evidence(network, x, classes, layer=layer), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(grad_cam(network, x, classes, layer=layer), expected.clamp(min=0))


def test_what_is_lit_is_where_the_object_is():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                            nn.Linear(1, 2))
    for weight in network.parameters():
        nn.init.constant_(weight, 0.1)
    x = torch.zeros(1, 1, 12, 12)
    x[0, 0, 8:11, 1:4] = 1
    assert divmod(int(grad_cam(network, x).flatten().argmax()), 12) == (9, 2)


def test_over_the_picture_it_goes_from_zero_to_one():
    heat = torch.rand(3, 4, 5) + 0.1
    heat[1] = 0
    large = over(heat, (32, 40))
    assert large.shape == (3, 32, 40) and float(large.min()) == 0
    assert large.amax((1, 2)).tolist() == [1, 0, 1]


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no layer 'c' is reached"):
        grad_cam(Net(), torch.zeros(1, 1, 9, 9), layer="c")
    with pytest.raises(ValueError, match="more than one place"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 1, 2, 2))


def test_the_network_is_left_as_it_was():
    network = Net()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        grad_cam(network, torch.randn(2, 1, 9, 9))
    assert all(m.training and not m._forward_hooks for m in network.modules())
    assert all(w.grad is None for w in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
