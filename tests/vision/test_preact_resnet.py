"""Pre-activation ResNets: timm's own, the sum along their path, and a thousand layers."""

from dataclasses import replace

import pytest
import torch
from oracles import agree
from published import computes, published
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.record import plain
from shinso.data.examples import open_data, save_description
from shinso.engine.loop import run
from shinso.vision.preact_resnet import VARIANTS, PreActivation, build, cifar, from_timm, imagenet


def is_timms(depth, folder) -> None:
    state, theirs = published(f"timm:resnetv2_{depth}", (2, 3, 64, 64), folder)
    network = imagenet(depth)
    network.load_state_dict(from_timm(state))
    computes(network, theirs)


def test_resnetv2_18_is_timms(tmp_path):
    is_timms(18, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [34, 50, 101, 152])
def test_the_others_are_timms(depth, tmp_path):
    is_timms(depth, tmp_path)


@pytest.mark.parametrize(("entering", "leaving", "stride", "narrow", "pads"), [
    (8, 8, 1, None, True), (8, 16, 2, None, True), (8, 16, 2, None, False), (8, 16, 1, 4, False), (16, 16, 1, 4, False),
])
def test_a_block_is_the_formula_written_out(entering, leaving, stride, narrow, pads):
    block = PreActivation(entering, leaving, stride, narrow=narrow, pads=pads).double().eval()

    def written(x: torch.Tensor) -> torch.Tensor:
        a = F.relu(block.bn1(x))
        if narrow:
            y = F.conv2d(F.relu(block.bn2(F.conv2d(a, block.conv1.weight))), block.conv2.weight, None, stride, 1)
            y = F.conv2d(F.relu(block.bn3(y)), block.conv3.weight)
        else:
            y = F.conv2d(F.relu(block.bn2(F.conv2d(a, block.conv1.weight, None, stride, 1))), block.conv2.weight,
                         padding=1)
        if entering == leaving and stride == 1:
            return y + x
        if pads:
            small = x[:, :, ::stride, ::stride]
            return y + torch.cat([small, small.new_zeros(len(x), leaving - entering, *small.shape[2:])], 1)
        return y + F.conv2d(a, block.downsample.weight, None, stride)

    x = torch.randn(2, entering, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept = x.clone()
    agree(block, written, x)
    block(x)
    assert torch.equal(x, kept)


@pytest.mark.parametrize(("depth", "block"), [(20, "basic"), (110, "basic"), (29, "bottleneck"), (164, "bottleneck"),
                                              (1001, "bottleneck")])
def test_the_depth_is_the_number_of_layers_with_weights(depth, block):
    with torch.device("meta"):
        net = cifar(depth, block)
    projections = sum("downsample" in name for name, _ in net.named_parameters())
    assert sum(w.dim() > 1 for w in net.parameters()) - projections == depth
    assert projections == (3 if block == "bottleneck" else 0)


@pytest.mark.slow
def test_the_whole_net_of_1001_layers_has_finite_gradients():
    torch.manual_seed(0)
    net = cifar(1001)
    F.cross_entropy(net(torch.randn(1, 3, 32, 32)), torch.tensor([1])).backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in net.parameters())


@pytest.mark.parametrize(("wrong", "said"), [
    ({"depth": 28}, "9n"), ({"depth": 29, "block": "basic"}, "6n"), ({"depth": 2}, "9n"),
    ({"design": "imagenet", "depth": 29, "data": "described"}, "152"), ({"design": "imagenet"}, "33x33"),
    ({"width": 0}, "above 0"),
])
def test_what_cannot_be_built_is_refused(wrong, said, tmp_path):
    if wrong.get("data") == "described":
        save_description(replace(open_data("digits").about, shape=(1, 64, 64)), tmp_path / "data.json")
        wrong = {**wrong, "data": f"described:{tmp_path / 'data.json'}"}
    with pytest.raises(UserError, match=said):
        build(replace(VARIANTS["smoke"], **wrong))


def test_it_learns_digits():
    program = build(replace(VARIANTS["smoke"], width=8, epochs=2))
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] > 0.4
