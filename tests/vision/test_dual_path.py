"""Dual path networks: counted, compared with timm's, one block in its two limits."""

import pytest
import torch
from published import computes, published
from torch import nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.nn.residual_block import Thinned
from shinso.vision import dual_path
from shinso.vision._cost import products, trained

slow = pytest.mark.slow


@pytest.mark.parametrize("name", ["68b", *(pytest.param(name, marks=slow) for name in ("68", "92", "98", "131"))])
def test_timms_weights_give_timms_answers(name, tmp_path):
    state, theirs = published(f"timm:dpn{name}", (2, 3, 64, 64), tmp_path)
    ours = dual_path.DualPathNetwork(dual_path.DESIGNS[name.removesuffix("b")])
    ours.load_state_dict(dual_path.from_timm(state))
    computes(ours, theirs)


@pytest.mark.parametrize(("name", "count"), [("68", 2.326), ("92", 6.502), ("98", 11.671), ("131", 16.014)])
def test_multiplications_are_the_references(name, count):
    with torch.device("meta"):
        assert round(products(dual_path.DualPathNetwork(dual_path.DESIGNS[name]), (3, 224, 224)) / 1e9, 3) == count


def test_the_first_block_of_a_stage_leaves_three_times_k_and_the_others_add_k():
    with torch.device("meta"):
        first, second, third = dual_path.DualPathNetwork(dual_path.DESIGNS["92"]).stages[0]
    assert [block.leaving for block in (first, second, third)] == [256 + 3 * 16, 256 + 4 * 16, 256 + 5 * 16]
    assert first.project.conv.out_channels == 256 + 2 * 16 and second.project is None


def test_a_block_is_its_equations_written_out():
    torch.manual_seed(0)
    block = dual_path.DualPath(6, 4, 5, 2, groups=2, stride=2, projects=True).double().eval()
    x = torch.randn(2, 6, 7, 7, dtype=torch.float64)

    def part(one: dual_path.Normed, x: torch.Tensor, **options: int) -> torch.Tensor:
        return F.conv2d((x / (1 + dual_path.EPSILON) ** 0.5).clamp(min=0), one.conv.weight, **options)

    old = part(block.project, x, stride=2)
    new = part(block.expand, part(block.group, part(block.reduce, x), stride=2, padding=1, groups=2))
    expected = torch.cat([old[:, :5] + new[:, :5], old[:, 5:], new[:, 5:]], 1)
    assert expected.shape[1] == block.leaving == 5 + 3 * 2
    torch.testing.assert_close(block(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", dual_path.DESIGNS)
def test_no_design_has_a_projection_so_narrow_that_places_are_taken_first(name):
    with torch.device("meta"):
        network = dual_path.DualPathNetwork(dual_path.DESIGNS[name])
    assert not [part for part in network.modules() if isinstance(part, Thinned)]
    assert isinstance(dual_path.DualPath(6, 4, 5, 2, stride=2, projects=True).project.conv, Thinned)


def test_both_limits_can_be_trained():
    for block in (dual_path.DualPath(8, 4, 8, 0), dual_path.DualPath(8, 4, 0, 3)):
        block(torch.randn(4, 8, 6, 6)).square().sum().backward()
        assert all(w.grad is not None and w.grad.abs().max() > 0 for w in block.parameters() if w.numel())


def test_answers_at_test_time_are_mean_and_maximum_over_places():
    torch.manual_seed(0)
    network = dual_path.DualPathNetwork(dual_path.DESIGNS["small"], 1, 5).eval()
    nn.init.normal_(network.classifier.weight)
    x = torch.randn(3, 1, 20, 20)
    maps = network.features(x)
    assert maps.shape[2:] == (5, 5)
    answers = torch.stack([F.conv2d(maps[:, :, i : i + 3, j : j + 3].mean((2, 3), keepdim=True),
                                    network.classifier.weight, network.classifier.bias)[:, :, 0, 0]
                           for i in range(3) for j in range(3)])
    torch.testing.assert_close(network.test_time(x, 3), (answers.mean(0) + answers.amax(0)) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "side"), [("small", 29), ("digits", 55)])
def test_one_place_of_the_last_maps_sees_as_much_as_stated(name, side):
    torch.manual_seed(0)
    network, x = dual_path.DualPathNetwork(dual_path.DESIGNS[name], 1, 5).eval(), torch.rand(1, 1, 64, 64)
    x.requires_grad_()
    maps = network.features(x)
    place = maps.shape[2] // 2
    (seen,) = torch.autograd.grad(maps[0, :, place, place].sum(), x)
    rows = seen[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == side


def test_other_channels_and_classes_fit_and_small_pictures_are_refused():
    network = dual_path.DualPathNetwork(dual_path.DESIGNS["68"], 1, 7).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 1, 32, 40)).shape == (2, 7)
    with pytest.raises(UserError, match="32x32"):
        dual_path.build(dual_path.Setup(network="68"))


def test_every_name_of_the_reference_has_one_of_ours(tmp_path):
    state, _ = published("timm:dpn68", (2, 3, 32, 32), tmp_path)
    with torch.device("meta"):
        ours = dual_path.DualPathNetwork(dual_path.DESIGNS["68"])
    renamed = dual_path.from_timm(state)
    assert renamed.keys() == ours.state_dict().keys() and len(renamed) == len(state)
    assert trained(ours) == sum(renamed[name].numel() for name, _ in ours.named_parameters())
