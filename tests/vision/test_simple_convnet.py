"""The two-convolution network: its layers as a seminar counts them, other shapes, and digits."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.seed import drawing_from
from shinso.engine.loop import run
from shinso.vision import simple_convnet
from shinso.vision.simple_convnet import SimpleConvNet


def test_the_layers_have_the_counts_of_the_summary():
    with torch.device("meta"):
        layers = [layer for layer in SimpleConvNet().modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert [sum(w.numel() for w in layer.parameters()) for layer in layers] == [320, 18_496, 1_179_776, 1_290]


def test_it_computes_what_its_equations_say():
    network, x = SimpleConvNet(maps=(3, 5), hidden=7).eval(), torch.randn(2, 1, 28, 28)
    (a, b, c, d) = [layer for layer in network.layers if isinstance(layer, (nn.Conv2d, nn.Linear))]
    h = F.relu(F.conv2d(F.relu(F.conv2d(x, a.weight, a.bias)), b.weight, b.bias))
    h = h.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)).flatten(1)
    torch.testing.assert_close(network(x), F.relu(h @ c.weight.T + c.bias) @ d.weight.T + d.bias)


def test_dropout_keeps_the_mean_and_is_off_in_evaluation():
    with drawing_from(0, "weights"):
        network, x = SimpleConvNet(maps=(8, 8), hidden=64), torch.randn(1, 1, 28, 28)
    assert not torch.equal(network(x), network(x))
    assert [layer.p for layer in network.layers if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("shape", [(3, 6, 6), (1, 13, 17), (3, 32, 32)])
def test_other_shapes_and_class_counts_fit(shape):
    assert SimpleConvNet(shape, 7, maps=(2, 3), hidden=5)(torch.zeros(2, *shape)).shape == (2, 7)


def test_three_numbers_of_maps_are_refused():
    with pytest.raises(UserError, match="2 convolutions"):
        simple_convnet.build(replace(simple_convnet.VARIANTS["smoke"], maps=(1, 2, 3)))


def test_it_reads_digits():
    program = simple_convnet.build(replace(simple_convnet.VARIANTS["smoke"], maps=(8, 16), hidden=32, epochs=5))
    for _ in run(program):
        pass
    assert program.evaluate("test")["accuracy"] > 0.9


@pytest.mark.slow
def test_mnist_is_read_at_98_percent(real_data):
    program = simple_convnet.build(replace(simple_convnet.VARIANTS["mnist"], epochs=2, augment=False))
    for _ in run(program):
        pass
    assert program.evaluate("test")["accuracy"] >= 0.98
