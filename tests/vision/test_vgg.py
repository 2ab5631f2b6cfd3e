"""VGG beside torchvision's, its heads, and what its activation maps show."""

from dataclasses import replace

import pytest
import torch
from published import computes, published
from torch import nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.seed import drawing_from
from shinso.engine.loop import run
from shinso.vision import vgg
from shinso.vision.vgg import VGG

DEPTHS = ("11", "13", "16", "19")


@pytest.mark.slow  # the smallest has 531 MB of weights
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("norm", [False, True])
def test_every_form_computes_what_torchvisions_does(depth, norm, tmp_path):
    state, theirs = published(f"torchvision:vgg{depth}{'_bn' if norm else ''}", (1, 3, 64, 64), tmp_path)
    with torch.device("meta"):
        ours = VGG(depth, norm=norm)
    ours.load_state_dict(state, assign=True)
    computes(ours, theirs)


@pytest.mark.slow  # 531 MB of weights
def test_timms_weights_give_its_answers(tmp_path):
    state, theirs = published("timm:vgg11_bn", (1, 3, 64, 96), tmp_path)
    with torch.device("meta"):
        ours = VGG("11", norm=True)
    ours.load_state_dict(vgg.from_timm(state), assign=True)
    computes(ours, theirs)


def test_matrices_that_timm_has_as_filters_answer_the_same():
    network, again = (VGG("11", classes=5, hidden=12, grid=2, width=1 / 32, shape=(3, 64, 64)).eval() for _ in range(2))
    filters = iter(layer for layer in list(vgg.as_convolutions(network))[len(network.features):]
                   if isinstance(layer, nn.Conv2d))
    state = {f"features.{name}": value for name, value in network.features.state_dict().items()}
    for name, layer in zip(("pre_logits.fc1", "pre_logits.fc2", "head.fc"), filters, strict=True):
        state |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    again.load_state_dict(vgg.from_timm(state))
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(again(x), network(x))


@pytest.mark.parametrize(("depth", "tensors", "normalised"), [("11", 22, 62), ("13", 26, 76), ("16", 32, 97),
                                                              ("19", 38, 118)])
def test_the_number_of_tensors_is_torchvisions(depth, tensors, normalised):
    with torch.device("meta"):
        assert len(VGG(depth).state_dict()) == tensors
        assert len(VGG(depth, norm=True).state_dict()) == normalised


def test_the_sides_of_a_photograph_are_halved_five_times():
    sides = []
    with torch.device("meta"):
        network = VGG("16")
        for layer in network.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.register_forward_hook(lambda layer, given, out: sides.append(out.shape[2]))
        network(torch.zeros(1, 3, 224, 224))
    assert sides == [112, 56, 28, 14, 7]


def test_a_larger_photograph_gives_a_map_of_answers():
    network = VGG("11", classes=5, hidden=12, width=1 / 32).eval()
    whole = vgg.as_convolutions(network)
    x = torch.randn(1, 3, 256, 256)
    answers = whole(x)
    assert answers.shape == (1, 5, 2, 2)
    torch.testing.assert_close(whole(x[..., :224, :224])[..., 0, 0], network(x[..., :224, :224]))


def test_columns_in_the_other_order_are_another_network_until_they_are_sorted():
    network = VGG("11", classes=5, hidden=12, grid=2, width=1 / 32, shape=(3, 64, 64)).eval()
    x = torch.randn(3, 3, 64, 64)
    features, first = network.features(x), network.classifier[0]
    by_pixel = features.permute(0, 2, 3, 1).flatten(1)
    wrong = F.linear(by_pixel, first.weight)
    maps = features.shape[1]
    sorted_columns = first.weight.view(-1, maps, 2, 2).permute(0, 2, 3, 1).flatten(1)
    expected = F.linear(features.flatten(1), first.weight)
    torch.testing.assert_close(F.linear(by_pixel, sorted_columns), expected)
    assert not torch.allclose(wrong, expected, rtol=0.1)


@pytest.mark.parametrize("side", [224, 256, 320])
def test_with_average_pooling_any_photograph_is_answered(side):
    with torch.device("meta"):
        assert VGG("19", head="gap")(torch.zeros(2, 3, side, side)).shape == (2, 1000)


def test_average_pooling_is_the_mean_over_all_places():
    network = VGG("11", head="gap", classes=4, width=1 / 32).eval()
    x = torch.randn(2, 3, 96, 64)
    torch.testing.assert_close(network(x), network.classifier(network.features(x).mean((2, 3))))


def test_a_kernel_of_two_is_that_of_a_full_convolution():
    first, second = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    first[0, 0, 0, 1], second[0, 0, 2, 0] = 2.0, 3.0
    expected = torch.zeros(1, 1, 5, 5)
    expected[0, 0, 2, 1] = 6.0
    assert torch.equal(vgg.one_filter(first, second), expected)


def test_a_column_and_a_row_are_a_product():
    row, column = torch.randn(1, 1, 1, 5), torch.randn(1, 1, 5, 1)
    x = torch.randn(1, 1, 9, 9)
    torch.testing.assert_close(F.conv2d(F.conv2d(x, row), column), F.conv2d(x, column * row))


def test_heads_are_told_apart():
    with torch.device("meta"):
        with pytest.raises(UserError, match="gap"):
            vgg.activation_maps(VGG("11"), torch.zeros(1, 3, 32, 32))
        with pytest.raises(UserError, match="mlp"):
            vgg.as_convolutions(VGG("11", head="gap"))


@pytest.mark.parametrize("side", [8, 16, 28, 32, 40])
@pytest.mark.parametrize("depth", list(vgg.FILTERS))
def test_small_pictures_pass(side, depth):
    network = VGG(depth, shape=(1, side, side), classes=3, width=1 / 64, hidden=8, grid=1)
    assert network(torch.randn(2, 1, side, side)).shape == (2, 3)


def test_it_reads_digits_and_shows_where_it_looked():
    program = vgg.build(replace(vgg.VARIANTS["default"], width=1 / 8, epochs=4))
    for _ in run(program):
        pass
    assert program.evaluate("test")["accuracy"] > 0.9
    assert {"confusion", "activation_maps"} <= set(program.pictures())


def test_the_head_of_the_paper_learns_eight_pictures_by_heart():
    with drawing_from(0, "weights"):
        network = VGG("16", classes=8, shape=(3, 32, 32), hidden=64, grid=1, width=1 / 8)
        x, y = torch.randn(8, 3, 32, 32), torch.arange(8)
    rule = torch.optim.Adam(network.parameters(), lr=0.001)
    network.eval()  # dropout would only take longer
    for _ in range(60):
        rule.zero_grad()
        F.cross_entropy(network(x), y).backward()
        rule.step()
    assert (network(x).argmax(1) == y).all()
