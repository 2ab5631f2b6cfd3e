"""Signals go back by their rule through every way to write a ReLU, and nothing stays behind."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shinso.inside.deconvolution import reconstruct
from shinso.kernels.conv_pool import conv_relu_pool

FORMS = {
    "module": nn.ReLU(), "in place": nn.ReLU(inplace=True), "function": F.relu, "method": lambda x: x.relu(),
    "clamp": lambda x: x.clamp(min=0), "written over": lambda x: F.relu_(x),
}


class Net(nn.Module):
    def __init__(self, relu):
        super().__init__()
        self.relu, self.a, self.b = relu, nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 3)

    def forward(self, x):
        return self.relu(self.b(self.relu(self.a(x) + 0)))


class Fused(nn.Module):
    def __init__(self, *, native):
        super().__init__()
        self.native, self.conv = native, nn.Conv2d(1, 4, 3)

    def forward(self, x):
        if self.native:
            return conv_relu_pool(x, self.conv.weight, self.conv.bias)
        return F.max_pool2d(F.relu(self.conv(x)), 2)


@pytest.mark.parametrize("rule", ["gradient", "deconvolution", "guided"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_relu_obeys(form, rule):
    x, units = torch.randn(3, 1, 9, 9), torch.tensor([0, 30, 60])
    reference, other = Net(FORMS["module"]), Net(FORMS[form])
    other.load_state_dict(reference.state_dict())
    torch.testing.assert_close(reconstruct(other, x, units, rule=rule), reconstruct(reference, x, units, rule=rule))


@pytest.mark.parametrize("rule", ["gradient", "deconvolution", "guided"])
def test_a_layer_in_native_code_obeys_too(rule):
    x, units = torch.randn(2, 1, 10, 10), torch.tensor([5, 40])
    native, plain = Fused(native=True), Fused(native=False)
    plain.load_state_dict(native.state_dict())
    found = reconstruct(native, x, units, rule=rule)
    torch.testing.assert_close(found, reconstruct(plain, x, units, rule=rule))


def test_the_three_rules_differ():
    network, x, units = Net(F.relu), torch.randn(3, 1, 9, 9), torch.tensor([12, 30, 60])
    a, b, c = (reconstruct(network, x, units, layer="b", rule=r) for r in ("gradient", "deconvolution", "guided"))
    assert not torch.equal(a, b) and not torch.equal(b, c) and not torch.equal(a, c)


def test_a_class_is_a_unit_of_the_network_itself():
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 4))
    found = reconstruct(network, torch.randn(2, 1, 3, 3), torch.tensor([1, 3]))
    torch.testing.assert_close(found.flatten(1), network[1].weight.detach()[[1, 3]])


def test_a_layer_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no layer 'c' is reached"):
        reconstruct(Net(F.relu), torch.zeros(1, 1, 9, 9), torch.tensor([0]), layer="c")


def test_training_afterwards_is_undisturbed():
    network, x = Net(F.relu), torch.randn(3, 1, 9, 9)
    network(x).sum().backward()
    before = [w.grad.clone() for w in network.parameters()]
    network.zero_grad()
    reconstruct(network, x, torch.tensor([0, 30, 60]))
    assert all(w.grad is None for w in network.parameters())
    network(x).sum().backward()
    assert all(torch.equal(w.grad, b) for w, b in zip(network.parameters(), before, strict=True))
    assert all(m.training and not m._forward_hooks for m in network.modules())
