"""Residual blocks: forms, shortcuts, orders, and the totals that the place of a stride decides."""

import subprocess
import sys

import pytest
import torch
from oracles import agree
from torch import nn
from torch.nn import functional as F

from shinso.nn.residual_block import ORDERS, Basic, Bottleneck, Ordered, Padded, _through, conv, draw_weights
from shinso.vision._cost import products, trained
from shinso.vision.resnet import ResNet


def pictures(channels: int = 8, side: int = 6) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(3, channels, side, side, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["A", "B", "C", "none"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_basic_block_is_the_formula_written_out(kind, stride):
    block = Basic(8, 12, stride, shortcuts=kind).double().eval()

    def written(x: torch.Tensor) -> torch.Tensor:
        h = F.relu(block.bn1(F.conv2d(x, block.conv1.weight, stride=stride, padding=1)))
        f = block.bn2(F.conv2d(h, block.conv2.weight, padding=1))
        if kind == "none":
            return F.relu(f)
        if kind == "A":
            small = x[:, :, ::stride, ::stride]
            return F.relu(f + torch.cat([small, torch.zeros_like(small[:, :4])], 1))
        return F.relu(f + block.downsample[1](F.conv2d(x, block.downsample[0].weight, stride=stride)))

    agree(block, written, pictures())


@pytest.mark.parametrize(("form", "first"), [("v1", 2), ("v1.5", 1)])
def test_a_bottleneck_has_its_stride_where_its_form_says(form, first):
    block = Bottleneck(8, 4, 2, form=form).double().eval()

    def written(x: torch.Tensor) -> torch.Tensor:
        h = F.relu(block.bn1(F.conv2d(x, block.conv1.weight, stride=first)))
        h = F.relu(block.bn2(F.conv2d(h, block.conv2.weight, stride=2 // first, padding=1)))
        f = block.bn3(F.conv2d(h, block.conv3.weight))
        return F.relu(f + block.downsample[1](F.conv2d(x, block.downsample[0].weight, stride=2)))

    agree(block, written, pictures())


def test_projections_stand_where_their_kind_says():
    kinds = {kind: [Basic(*shape, shortcuts=kind).downsample for shape in ((8, 8, 1), (8, 16, 1), (8, 8, 2))]
             for kind in ("A", "B", "C", "none")}
    assert [x is None for x in kinds["A"]] == [True, False, False] and isinstance(kinds["A"][1], Padded)
    assert [x is None for x in kinds["B"]] == [True, False, False] and isinstance(kinds["B"][1], nn.Sequential)
    assert [x is None for x in kinds["C"]] == [False, False, False]
    assert kinds["none"] == [None, None, None]


def test_groups_are_blocks_side_by_side():
    block = Bottleneck(16, 8, groups=2).double()
    pairs = zip(pictures().split(4, 1), block.conv2.weight.split(4), strict=True)
    halves = [F.conv2d(x, w, padding=1) for x, w in pairs]
    torch.testing.assert_close(block.conv2(pictures()), torch.cat(halves, 1))


@pytest.mark.parametrize("kind", [Basic, Bottleneck])
def test_a_weight_of_f_is_a_weight_of_f(kind):
    block, x = kind(8, 8 // kind.expansion).double().eval(), pictures()
    torch.testing.assert_close(block(x, 0.3), F.relu(x + 0.3 * block.residual(x)))
    torch.testing.assert_close(block(x, 0.0), F.relu(x))


def test_the_input_of_a_block_is_left_as_it_is():
    x = pictures()
    kept = x.clone()
    for block in (Basic(8, 8), Bottleneck(8, 2), *(Ordered(8, order) for order in ORDERS)):
        block.double()(x)
        assert torch.equal(x, kept)


@pytest.mark.parametrize("order", ORDERS)
def test_the_five_orders_train(order):
    torch.manual_seed(0)
    net = nn.Sequential(Ordered(8, order), Ordered(8, order), nn.Flatten(), nn.Linear(8 * 36, 2)).double()
    x = torch.cat([pictures(), pictures() + 0.5])
    y = torch.tensor([0, 0, 0, 1, 1, 1])
    optimiser = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_the_order_of_2015_is_the_basic_block():
    ordered, basic = Ordered(8, "original").double().eval(), Basic(8, 8).double().eval()
    names = zip(("0.weight", "3.weight"), ("conv1.weight", "conv2.weight"), strict=True)
    basic.load_state_dict({**basic.state_dict(), **{ours: ordered.f.state_dict()[theirs] for theirs, ours in names}})
    agree(ordered, basic, pictures())


@pytest.mark.parametrize(("order", "passes"), [("original", 0.86), ("full", 1.31)])
def test_fifty_layers_pass_as_much_of_the_gradient_as_the_card_says(order, passes):
    assert _through(order, shortcuts=True) == pytest.approx(passes, abs=0.005)


def test_the_weights_of_v1_fit_into_v1_5_and_answer_otherwise():
    torch.manual_seed(0)
    first, later = (Bottleneck(8, 4, 2, form=form).double().eval() for form in ("v1", "v1.5"))
    later.load_state_dict(first.state_dict())
    assert float((first(pictures()) - later(pictures())).detach().abs().max()) > 0.1


@pytest.mark.parametrize(("depth", "later", "published"), [(50, 4_089_184_256, 3_857_973_248),
                                                           (101, 7_801_405_440, 7_570_194_432)])
def test_the_place_of_the_stride_makes_the_two_totals(depth, later, published):
    with torch.device("meta"):
        nets = [ResNet(depth, form=form) for form in ("v1.5", "v1")]
        assert [products(net, (3, 224, 224)) for net in nets] == [later, published]
    assert trained(nets[0]) == trained(nets[1])


def test_weights_are_drawn_for_what_leaves():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(16, 64, 3), Basic(64, 64))
    draw_weights(net)
    assert net[0].weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)
    assert net[1].bn2.weight.unique().tolist() == [1.0]


@pytest.mark.parametrize("entering", [3, 4, 12, 16])
@pytest.mark.parametrize("stride", [2, 3])
def test_a_convolution_of_one_place_is_torchs(entering, stride):
    ours, theirs = conv(entering, 8, 1, stride).double(), nn.Conv2d(entering, 8, 1, stride, bias=False).double()
    theirs.load_state_dict(ours.state_dict())
    agree(ours, theirs, torch.randn(3, entering, 11, 8, dtype=torch.float64), within=1e-12)


NARROW = """
import torch
from shinso.nn.residual_block import conv
for width in (4, 12):
    layer = conv(width, 8, 1, 2).to(memory_format=torch.channels_last)
    for _ in range(10):
        x = torch.randn(20, width, 60, 60).to(memory_format=torch.channels_last)
        layer(x).sum().backward()
"""


def test_narrow_shortcuts_leave_the_memory_of_others_alone():
    done = subprocess.run([sys.executable, "-c", NARROW], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
