"""Routes written as text: their names, sizes and outputs."""

import pytest
import torch
from oracles import agree
from torch import nn
from torch.nn import functional as F

from shinso.nn.inception_block import BasicConv2d, BiasedConv2d, Routes, bordered, draw_he, enlarged, layer, scaled


def names(block: nn.Module) -> list[str]:
    return [name.removesuffix(".conv.weight") for name in block.state_dict() if name.endswith("conv.weight")]


def test_nested_names_number_every_layer_and_a_lone_one_has_the_routes_name():
    block = Routes(4, {"branch1": "1x1:2", "branch2": "1x1:3 3x3:5", "branch4": "max 1x1:2"})
    assert names(block) == ["branch1", "branch2.0", "branch2.1", "branch4.1"]
    assert block.leaving == 9 and block(torch.zeros(2, 4, 5, 5)).shape == (2, 9, 5, 5)


def test_flat_names_number_the_convolutions_and_sides_have_letters():
    block = Routes(4, {"one": "1x1:4", "two": "1x1:4 1x3:4|3x1:5", "pool": "avg 1x1:4"}, names="flat")
    assert names(block) == ["one", "two_1", "two_2a", "two_2b", "pool"]
    assert block(torch.zeros(2, 4, 5, 5)).shape == (2, 4 + 9 + 4, 5, 5)


def test_routes_are_what_torchs_own_layers_compute():
    block = Routes(3, {"a": "1x1:4", "b": "1x1:4 5x5:6", "c": "max 1x1:4"}, conv=BiasedConv2d).double()
    draw_he(block)
    w = {name: t.detach() for name, t in block.named_parameters()}

    def written(x):
        def conv(x, name):
            kernel = w[f"{name}.conv.weight"]
            return F.relu(F.conv2d(x, kernel, w[f"{name}.conv.bias"], padding=kernel.shape[-1] // 2))

        return torch.cat([conv(x, "a"), conv(conv(x, "b.0"), "b.1"), conv(F.max_pool2d(x, 3, 1, 1), "c.1")], 1)

    agree(block, written, torch.randn(2, 3, 7, 7, dtype=torch.float64))


@pytest.mark.parametrize(("text", "side"), [("3x3:4", 9), ("3x3v:4", 7), ("3x3/2:4", 4), ("3x3/2p:4", 5), ("1x7:4", 9),
                                            ("7x1v:4", 3), ("max", 9), ("mean", 9), ("max/2", 4), ("max/2p", 5)])
def test_the_words_of_the_small_language_give_the_sizes_they_name(text, side):
    assert layer(text, 2)[0](torch.zeros(2, 2, 9, 9)).shape[2] == side


@pytest.mark.parametrize("side", range(1, 12))
def test_with_borders_all_routes_end_alike_whatever_the_size(side):
    text = bordered("3x3/2:4 1x7:4 3x3v:4"), bordered("max/2"), bordered("1x1:4 3x3/2p:4")
    assert text == ("3x3/2p:4 1x7:4 3x3:4", "max/2p", "1x1:4 3x3/2p:4")
    block = Routes(2, dict(zip("abc", text, strict=True)), conv=BiasedConv2d)
    assert block(torch.zeros(1, 2, side, side)).shape[2:] == ((side + 1) // 2,) * 2


def test_what_is_no_layer_is_refused():
    with pytest.raises(ValueError, match="Invalid layer: 3y3:4"):
        layer("3y3:4", 2)


def test_a_width_multiplies_maps_but_leaves_four():
    assert [scaled(96, w) for w in (1.0, 0.5, 0.01)] == [96, 48, 4] and scaled(2, 0.1) == 2
    assert Routes(8, {"a": "1x1:32", "b": "3x3:64"}, width=0.25).leaving == 24


def test_enlarged_repeats_every_pixel():
    x = torch.arange(4.0).view(1, 1, 2, 2)
    assert torch.equal(enlarged(x, 3), x.repeat_interleave(3, 2).repeat_interleave(3, 3))
    assert enlarged(x, 1) is x


def test_the_epsilon_is_a_thousandth():
    assert BasicConv2d(1, 1, (1, 1), 1, (0, 0)).bn.eps == 1e-3
