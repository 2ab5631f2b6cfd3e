"""Shuffled pixels: the order is one for all, channels stay together, and who minds."""

from dataclasses import replace

import pytest
import torch

from shinso.engine.loop import run
from shinso.vision import mlp_image
from shinso.vision.mlp_image import Shuffled


def test_every_picture_is_shuffled_alike_and_loses_nothing():
    x = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    mixed = Shuffled(20, 0)(x)
    assert mixed.shape == x.shape and not torch.equal(mixed, x)
    assert torch.equal(mixed.flatten(2).sort().values, x.flatten(2))
    assert torch.equal(mixed[:, 1:] - mixed[:, :1], x[:, 1:] - x[:, :1]), "the channels of a pixel stay together"
    assert torch.equal(mixed[1] - mixed[0], x[1] - x[0])


def test_another_seed_is_another_order_and_the_order_is_kept_with_the_weights():
    assert not torch.equal(Shuffled(64, 0).order, Shuffled(64, 1).order)
    assert "order" in Shuffled(64, 0).state_dict()


def test_pixels_are_put_back_where_they_were():
    x = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    mix = Shuffled(20, 0)
    assert torch.equal(mix.undo(mix(x)), x) and torch.equal(mix(mix.undo(x)), x)


@pytest.mark.parametrize(("network", "shuffle", "shown"), [
    ("perceptron", True, "first_weights"), ("perceptron", False, "first_weights"),
    ("convolutions", True, "shuffled_pixels"), ("convolutions", False, "feature_maps")])
def test_what_is_shown(network, shuffle, shown):
    program = mlp_image.build(replace(mlp_image.VARIANTS["smoke"], network=network, shuffle=shuffle))
    assert {"confusion", shown} <= set(program.pictures())


def accuracy(**changes):
    program = mlp_image.build(replace(mlp_image.VARIANTS["default"], epochs=5, **changes))
    for _ in run(program):
        pass
    return program.evaluate("test")["accuracy"]


def test_the_perceptron_does_not_mind():
    mixed, plain = accuracy(), accuracy(shuffle=False)
    assert min(mixed, plain) > 0.9 and mixed == pytest.approx(plain, abs=0.03)


@pytest.mark.slow
def test_convolutions_mind():
    mixed, plain = (accuracy(network="convolutions", shuffle=flag) for flag in (True, False))
    assert plain > mixed
