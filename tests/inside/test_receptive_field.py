"""Fields follow any network's operations and are where gradients are; looking leaves no trace."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shinso.inside.receptive_field import Field, heeded, of_layers, receptive_fields, resnet
from shinso.kernels.conv_pool import conv_relu_pool
from shinso.vision.alexnet import AlexNet
from shinso.vision.cifar_resnet import CifarResNet
from shinso.vision.resnet import ResNet
from shinso.vision.vgg import VGG, as_convolutions


class Block(nn.Module):
    """Nothing is a module here but the kernels: functional pooling, ReLU in place, a strided slice as shortcut."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 2, 3, 1, 1)

    def forward(self, x):
        h = F.relu(self.conv2(F.relu(self.conv1(x), inplace=True)))
        h = h + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 1))
        h += 1
        return F.avg_pool2d(h, 2)


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.dense = nn.Conv2d(1, 1, 3), nn.Linear(1, 1)

    def forward(self, x):
        h = self.conv(x)
        return h * torch.sigmoid(self.dense(h.mean((2, 3))))[:, :, None, None]


class Fused(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 5)

    def forward(self, x):
        return conv_relu_pool(x, self.conv.weight, self.conv.bias, 2)


def positive(network):
    for weight in network.parameters():
        nn.init.constant_(weight, 0.1)
    return network


def test_functions_count_as_modules_do():
    network, x = positive(Block()), torch.ones(1, 1, 33, 33)
    field = receptive_fields(network, x)[""][0]
    assert field == Field(9, 4, -3)
    rows = heeded(network, x).sum(1).nonzero().flatten()
    begin, end = field.pixels(network(x).shape[2] // 2, 33)
    assert (int(rows[0]), int(rows[-1]) + 1) == (begin, end)


def test_a_gate_over_all_places_sees_everything():
    assert receptive_fields(Gated(), torch.ones(1, 1, 12, 12))[""][0] == Field(12, 0, 0)


def test_a_layer_in_native_code_is_followed_too():
    assert receptive_fields(Fused(), torch.ones(1, 1, 12, 12))[""] == (Field(6, 2, -2), Field(6, 2, -2))


def test_a_linear_layer_sees_all_that_was_flattened():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2 * 25, 3))
    assert receptive_fields(network, torch.ones(1, 1, 12, 12))["3"][0].size == 12


def test_height_and_width_are_followed_apart():
    high, wide = receptive_fields(nn.Conv2d(1, 1, (3, 7), (2, 1), (0, 3)), torch.ones(1, 1, 12, 12))[""]
    assert (high, wide) == (Field(3, 2, 0), Field(7, 1, -3))


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_a_transposed_convolution_sees_its_units_from_the_first_one_on(k):
    network, x = positive(nn.ConvTranspose2d(1, 1, k, 2, padding=1)), torch.ones(1, 1, 9, 9, requires_grad=True)
    field = receptive_fields(network, x.detach())[""][0]
    output = network(x)
    seen = [set(torch.autograd.grad(output[0, 0, i, 8], x, retain_graph=True)[0].sum((0, 1, 3)).nonzero().flatten()
                .tolist()) for i in range(4, 10)]
    assert max(map(len, seen)) == field.size
    assert all(abs(min(rows) - (field.start + i * field.jump)) <= 1 for i, rows in enumerate(seen, start=4))


@pytest.mark.parametrize(("stages", "size"), [((3, 4, 6, 3), 427), ((3, 4, 23, 3), 971), ((3, 8, 36, 3), 1451)])
def test_the_note_on_v15_holds(stages, size):
    assert of_layers(resnet(stages, "v1.5")).size == size


def on_paper(network, side):
    """The size of the field of every module of a network of vision/, without memory for its weights."""
    with torch.device("meta"):
        found = receptive_fields(network().eval(), torch.zeros(1, 3, side, side))
    return {name: high.size for name, (high, wide) in found.items() if high.size == wide.size}


def test_the_networks_themselves_see_what_the_lists_of_the_facts_see():
    assert on_paper(lambda: AlexNet("two-group"), 227)["features"] == 195
    assert on_paper(lambda: VGG("16"), 224)["features"] == 212
    whole = on_paper(lambda: as_convolutions(VGG("16")), 224)
    assert 404 in whole.values() and max(whole.values()) == 404


@pytest.mark.parametrize(("depth", "form", "size"), [(50, "v1", 483), (101, "v1", 1027), (152, "v1", 1507),
                                                     (50, "v1.5", 427), (101, "v1.5", 971), (152, "v1.5", 1451)])
def test_resnets_see_what_the_lists_of_the_facts_see(depth, form, size):
    assert on_paper(lambda: ResNet(depth, form=form), 224)["layer4"] == size


def test_a_whole_residual_network_of_positive_weights_heeds_all_of_its_field():
    network, x = positive(CifarResNet(14, width=2)).eval().double(), torch.ones(1, 3, 81, 81, dtype=torch.float64)
    high, wide = receptive_fields(network, x)["layer3.1"]
    gradient = heeded(network, x, "layer3.1") != 0
    (top, bottom), (left, right) = high.pixels(10, 81), wide.pixels(10, 81)
    expected = torch.zeros_like(gradient)
    expected[top:bottom, left:right] = True
    assert (high.size, bottom - top) == (53, 53) and torch.equal(gradient, expected)


def test_on_no_device_at_all_fields_are_the_same():
    network = Block()
    assert receptive_fields(Block().to("meta"), torch.ones(1, 1, 33, 33, device="meta")) == \
        receptive_fields(network, torch.ones(1, 1, 33, 33))


def test_fields_end_at_the_borders():
    assert Field(9, 4, -3).pixels(0, 33) == (0, 6) and Field(9, 4, -3).pixels(8, 33) == (29, 33)


def test_looking_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.BatchNorm2d(1), nn.Dropout())
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    receptive_fields(network, torch.randn(2, 1, 9, 9))
    heeded(network, torch.randn(2, 1, 9, 9))
    assert [m.training for m in network.modules()] == [True, True, True, False]
    assert not any(m._forward_hooks for m in network.modules())
    assert all(weight.grad is None for weight in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_that_fails_is_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 1, 3))
    with pytest.raises(RuntimeError, match="channels"):
        receptive_fields(network, torch.ones(1, 1, 9, 9))
    assert network.training and not network[0]._forward_hooks
