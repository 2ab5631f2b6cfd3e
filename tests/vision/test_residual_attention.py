"""The Residual Attention Network: its shapes, its masks, and what the 1 in 1 + M is for."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.vision import residual_attention as attention
from shinso.vision._cost import products, trained


def by_hand(modules: tuple[int, int, int]) -> int:
    """Trained parameters of a network for ImageNet, from its table alone."""

    def unit(entering: int, leaving: int) -> int:
        narrow = leaving // 4
        projection = entering * leaving if entering != leaving else 0
        return 2 * (entering + 2 * narrow) + entering * narrow + 9 * narrow**2 + narrow * leaving + projection

    def module(width: int, pools: int) -> int:
        below, across, above = pools + 1, pools - 1, pools - 1
        return (1 + 2 + 1 + below + across + above) * unit(width, width) + 2 * (2 * width + width * width)

    stages = zip((64, 256, 512), (256, 512, 1024), modules, (3, 2, 1), strict=True)
    body = sum(unit(a, b) + number * module(b, pools) for a, b, number, pools in stages)
    return 3 * 64 * 49 + 2 * 64 + body + unit(1024, 2048) + 2 * unit(2048, 2048) + 2 * 2048 + 2048 * 1000 + 1000


@pytest.mark.parametrize(("layers", "count"), [(56, 31_810_728), (92, 52_466_344)])
def test_the_sizes_follow_from_the_table_by_hand(layers, count):
    assert by_hand(attention.NETWORKS[layers]) == trained(attention.on_paper(layers)) == count


@pytest.mark.parametrize(("layers", "paper", "within"), [(56, 31.9e6, 0.003), (92, 51.3e6, 0.023)])
def test_the_networks_have_nearly_the_size_that_the_paper_prints(layers, paper, within):
    assert abs(trained(attention.on_paper(layers)) / paper - 1) <= within


@pytest.mark.parametrize(("layers", "paper", "within"), [(56, 6.3e9, 0.005), (92, 10.4e9, 0.013)])
def test_the_networks_make_nearly_as_many_multiplications_as_the_paper_prints(layers, paper, within):
    with torch.device("meta"):
        network = attention.ResidualAttentionNetwork(attention.NETWORKS[layers])
        assert abs(products(network, (3, 224, 224)) / paper - 1) <= within


def test_the_sum_on_the_card_is_the_larger_network_without_and_with_its_statistics():
    network = attention.on_paper(92)
    statistics = sum(x.numel() for x in network.buffers() if x.dim())
    assert trained(network) == 31_810_728 + 3_046_912 + 2 * 8_804_352
    assert trained(network) + statistics == 52_599_976


def test_stages_of_224_are_56_28_14_and_7_and_every_mask_goes_down_to_7():
    network, stages, depths = attention.on_paper(56), [], []
    for part in (*network.stages, network.last):
        part.register_forward_hook(lambda _part, _given, x: stages.append(tuple(x.shape[1:])))
    for part in network.modules():
        if isinstance(part, attention.SoftMask):
            part.bottom.register_forward_hook(lambda _part, _given, x: depths.append(tuple(x.shape[2:])))
    with torch.device("meta"), torch.no_grad():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    assert stages == [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]
    assert depths == [(7, 7)] * 3


@pytest.mark.parametrize(("modules", "layers"), [((1, 1, 1), 56), ((1, 2, 3), 92), ((12, 12, 12), 452)])
def test_layers_on_the_trunk_are_20_and_12_for_each_module(modules, layers):
    with torch.device("meta"):
        network = attention.ResidualAttentionNetwork(modules, 3, 10, width=4, small=True)
    assert sum(isinstance(part, (nn.Conv2d, nn.Linear)) and ".mask." not in name and "downsample" not in name
               for name, part in network.named_modules()) == layers


@pytest.mark.parametrize("gate", ["residual", "naive"])
@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_a_module_weighs_its_trunk_by_its_mask(gate, value):
    torch.manual_seed(0)
    module, x = attention.AttentionModule(8, 1, gate=gate).eval(), torch.randn(2, 8, 6, 6)
    module.mask = attention.Constant(value)
    weight = value if gate == "naive" else 1 + value
    assert torch.equal(module(x), module.after(weight * module.trunk(module.before(x))))


@pytest.mark.parametrize("size", [(9, 9), (16, 12), (13, 8)])
@pytest.mark.parametrize("pools", [1, 2, 3])
def test_a_mask_has_its_inputs_shape_and_stays_between_0_and_1(size, pools):
    torch.manual_seed(0)
    x = torch.randn(2, 8, *size)
    mask = attention.SoftMask(8, pools).eval()(x)
    assert mask.shape == x.shape and 0 < float(mask.detach().min()) <= float(mask.detach().max()) < 1


def test_a_mask_with_one_pool_is_its_steps_written_out():
    torch.manual_seed(0)
    mask, x = attention.SoftMask(8, 1).double().eval(), torch.randn(2, 8, 6, 6, dtype=torch.float64)

    def unit(part, x):
        y = x
        for norm, conv in ((part.bn1, part.conv1), (part.bn2, part.conv2), (part.bn3, part.conv3)):
            y = F.conv2d(F.relu(norm(y)), conv.weight, padding=conv.weight.shape[2] // 2)
        return x + y

    h = unit(mask.bottom[0], unit(mask.down[0][0], F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)))
    h = F.interpolate(h, (6, 6), mode="bilinear", align_corners=True)
    for i in (0, 3):
        h = F.conv2d(F.relu(mask.gate[i](h)), mask.gate[i + 2].weight)
    torch.testing.assert_close(mask(x), torch.sigmoid(h), rtol=1e-12, atol=1e-12)


def test_every_part_learns():
    torch.manual_seed(0)
    network = attention.ResidualAttentionNetwork((1, 1, 1), 1, 3, width=4, small=True)
    F.cross_entropy(network(torch.randn(4, 1, 16, 16)), torch.tensor([0, 1, 2, 0])).backward()
    assert all(w.grad is not None and w.grad.isfinite().all() and w.grad.any() for w in network.parameters())


def test_pictures_show_one_row_for_each_stage_that_has_modules():
    program = attention.build(attention.VARIANTS["smoke"])
    seen = attention.masks(program.model, torch.zeros(3, 1, 28, 28))
    assert {name: tuple(mask.shape) for name, mask in seen.items()} == {"stages.2.1.mask": (3, 2, 2)}
    assert program.pictures()["masks"].shape == (210, 800, 3)


def test_wrong_modules_and_small_pictures_are_refused():
    with pytest.raises(UserError, match="three numbers"):
        attention.build(attention.Setup(modules=(1, 1)))
    with pytest.raises(UserError, match="width"):
        attention.build(attention.Setup(width=0))
    with pytest.raises(UserError, match="31x31"):
        attention.build(attention.Setup(stem="imagenet"))


@pytest.mark.parametrize(("size", "small"), [(16, True), (17, True), (31, False)])
def test_the_smallest_pictures_reach_the_end(size, small):
    network = attention.ResidualAttentionNetwork((1, 1, 1), 1, 3, width=4, small=small)
    assert network(torch.randn(2, 1, size, size)).isfinite().all()
