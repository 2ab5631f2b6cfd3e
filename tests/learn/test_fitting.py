"""A file of weights for another network of the family says with which options it fits."""

from dataclasses import dataclass, replace
from typing import Literal

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.learn.recognise import Recognition, recognise


@dataclass(frozen=True, kw_only=True)
class Setup(Recognition):
    depth: Literal[1, 2, 3] = 1
    norm: bool = False
    sizes: tuple[int, ...] = (8, 16)
    epochs: int = 1


VARIANTS = {"smoke": Setup(sizes=(2, 3)), "published": Setup(sizes=(16, 32), depth=2)}


def build(setup, place=Place()):  # noqa: B008 - a frozen value
    return recognise(setup, place, lambda about: network(setup, about.shape[0], len(about.classes)))


def network(setup, channels, classes):
    first, last = setup.sizes
    layers = [nn.Conv2d(channels, first, 3)]
    for _ in range(setup.depth):
        layers += [nn.Conv2d(first, first, 1, bias=not setup.norm), nn.BatchNorm2d(first) if setup.norm else nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(first, last, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(last, classes))


def written(folder, state):
    save_file(state, folder / "net.safetensors")
    return str(folder / "net.safetensors")


@pytest.mark.parametrize(("change", "told"), [
    ({"depth": 3, "norm": True}, "it fits with --depth 3 --norm true --sizes 16,32."),
    ({}, "it fits with --depth 2 --sizes 16,32.")])
def test_the_options_that_fit_are_told_and_they_fit(change, told, tmp_path):
    theirs = replace(VARIANTS["published"], **change)
    file = written(tmp_path, network(theirs, 3, 1000).state_dict())
    before = torch.get_rng_state()
    with pytest.raises(UserError) as caught:
        build(replace(VARIANTS["smoke"], weights=file))
    assert caught.value.line().endswith(told) and "of another shape" in caught.value.line()
    assert torch.equal(before, torch.get_rng_state())
    with pytest.warns(UserWarning, match="begins anew, for 10 classes instead of 1000"):
        program = build(replace(theirs, weights=file))
    assert torch.isfinite(program.step(0)["loss"])


@pytest.mark.parametrize("state", [{"other.weight": torch.ones(3)},
                                   {"0.weight": torch.ones(7, 3, 3, 3), "0.bias": torch.ones(7)}])
def test_a_file_of_another_family_keeps_the_general_advice(state, tmp_path):
    with pytest.raises(UserError, match="choose the network, its depth and its width"):
        build(replace(VARIANTS["smoke"], weights=written(tmp_path, state)))
