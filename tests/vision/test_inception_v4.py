"""Inception v4: timm's weights in ours, and pictures of every size."""

from dataclasses import replace

import pytest
import torch
from published import computes, published
from torch import nn

from shinso.core.errors import UserError
from shinso.vision import inception_v4
from shinso.vision.inception_v4 import InceptionV4, from_timm


@pytest.mark.slow
def test_timms_weights_give_its_answers(tmp_path):
    state, theirs = published("timm:inception_v4", (2, 3, 80, 96), tmp_path, num_classes=10)
    ours = InceptionV4(classes=10)
    ours.load_state_dict(from_timm(state))
    computes(ours, theirs)


def test_pooling_that_counts_the_border_gives_other_answers():
    network = InceptionV4(classes=4, width=0.03125, blocks=(1, 1, 1)).eval()
    x = torch.randn(1, 3, 96, 96)
    right = network(x)
    means = [layer for layer in network.modules() if isinstance(layer, nn.AvgPool2d)]
    assert len(means) == 3 and not any(layer.count_include_pad for layer in means)
    for layer in means:
        layer.count_include_pad = True
    assert float(((network(x) - right).abs().max() / right.abs().max()).detach()) > 0.01


def test_a_picture_of_75_pixels_passes_and_of_74_does_not():
    network = InceptionV4(classes=4, width=0.03125, blocks=(1, 1, 1)).eval()
    assert network(torch.zeros(1, 3, 75, 75)).shape == (1, 4)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, 74, 74))


@pytest.mark.parametrize("side", [1, 8, 33])
def test_with_borders_pictures_of_any_size_pass(side):
    network = InceptionV4(classes=4, width=0.03125, blocks=(1, 1, 1), border=True).eval()
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 4)


def test_small_pictures_are_refused_until_they_are_grown():
    published_form = replace(inception_v4.VARIANTS["smoke"], border=False)
    with pytest.raises(UserError, match="75x75"):
        inception_v4.build(published_form)
    assert inception_v4.build(replace(published_form, grow=3)).total
    with pytest.raises(UserError, match="blocks"):
        inception_v4.build(replace(published_form, blocks=(4, 4)))
