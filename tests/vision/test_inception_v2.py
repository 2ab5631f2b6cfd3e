"""BN-Inception: modules from a table, two forms, any size of picture."""

from dataclasses import replace

import pytest
import torch
from oracles import agree

from shinso.core.errors import UserError
from shinso.nn.inception_block import Routes
from shinso.vision import inception_v2
from shinso.vision.inception_v2 import TABLE, InceptionV2, routes_of


@pytest.mark.parametrize(("form", "sums"), [
    ("paper", (256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024)),
    ("caffe", (256, 320, 576, 576, 576, 576, 576, 1024, 1024, 1024)),
])
def test_the_maps_of_the_modules(form, sums):
    entering, found = 192, []
    for name in TABLE:
        with torch.device("meta"):
            entering = Routes(entering, routes_of(name, form)).leaving
        found.append(entering)
    assert tuple(found) == sums


@pytest.mark.parametrize("name", ["3c", "4e"])
def test_halving_modules_pass_their_pooled_maps_on(name):
    block = Routes(5, routes_of(name), width=0.0625)
    x = torch.randn(1, 5, 9, 9)
    y = block.eval()(x)
    assert y.shape[2:] == (5, 5)
    torch.testing.assert_close(y[:, -5:], torch.nn.functional.max_pool2d(x, 3, 2, 1))


@pytest.mark.parametrize("side", [1, 7, 28, 33])
def test_pictures_of_any_size_pass(side):
    network = InceptionV2(classes=5, width=0.0625, biases=True).eval()
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 5)


def test_idle_biases_leave_a_networks_answers_in_training():
    with_biases = InceptionV2(classes=3, width=0.0625, biases=True).double()
    without = InceptionV2(classes=3, width=0.0625).double()
    left = without.load_state_dict(with_biases.state_dict(), strict=False)
    assert all(name.endswith("conv.bias") for name in left.unexpected_keys) and not left.missing_keys
    for name, weight in with_biases.named_parameters():
        if name.endswith("conv.bias"):
            torch.nn.init.normal_(weight)
    agree(with_biases, without, torch.randn(3, 3, 40, 40, dtype=torch.float64), within=1e-8)


def test_a_module_that_is_not_there_cannot_be_left_out():
    with pytest.raises(UserError, match="no module '9z'"):
        inception_v2.build(replace(inception_v2.VARIANTS["smoke"], without=("9z",)))
