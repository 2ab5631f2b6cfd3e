"""GoogLeNet: two forms, their classifiers in the middle, and torchvision's weights in ours."""

from dataclasses import replace

import pytest
import torch
from oracles import records
from published import computes, published
from torch import nn
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.record import plain
from shinso.vision import googlenet
from shinso.vision.googlenet import TABLE, Auxiliary, GoogLeNet, inception


@pytest.mark.parametrize("name", TABLE)
def test_a_silent_route_changes_only_its_slice_of_a_module(name):
    one, _, three, _, five, pooled = TABLE[name]
    block = inception(6, TABLE[name], "paper")
    assert block.leaving == one + three + five + pooled
    x = torch.randn(1, 6, 5, 5)
    before = block(x)
    for weight in block.get_submodule("branch3").parameters():
        nn.init.zeros_(weight)
    changed = (block(x) - before)[0].abs().amax((1, 2)) != 0
    assert changed.nonzero().flatten().min() >= one + three and not changed[one + three + five :].any()


def test_the_papers_helper_pools_5_by_3_and_reads_maps_of_other_sizes_in_parts():
    head = Auxiliary(8, 3, "paper", width=0.25).eval()
    x = torch.randn(2, 8, 14, 14)
    pooled = F.avg_pool2d(x, 5, 3)
    assert pooled.shape[2:] == (4, 4)
    torch.testing.assert_close(head(x), head(pooled))
    assert head(torch.randn(2, 8, 3, 9)).shape == (2, 3)
    assert not torch.allclose(head(x), Auxiliary.forward(_parts(head), x))


def _parts(head: Auxiliary) -> Auxiliary:
    head.strides = False
    return head


def test_three_answers_in_training_and_one_in_evaluation():
    network = GoogLeNet(form="torchvision", classes=5, width=0.0625)
    answers = network(torch.zeros(2, 3, 32, 32))
    assert [tuple(answer.shape) for answer in answers] == [(2, 5)] * 3
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert GoogLeNet(form="paper", aux=False, classes=5, width=0.0625)(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize(("form", "side"), [("paper", 31), ("torchvision", 15)])
def test_the_smallest_picture_passes_and_one_pixel_less_does_not(form, side):
    network = GoogLeNet(form=form, width=0.0625, aux=False).eval()
    assert network(torch.zeros(1, 3, side, side)).shape == (1, 1000)
    with pytest.raises(RuntimeError, match="too small"):
        network(torch.zeros(1, 3, side - 1, side - 1))


def test_pictures_that_are_too_small_are_refused_until_they_are_grown():
    small = replace(googlenet.VARIANTS["smoke"], data="digits:8x8")
    with pytest.raises(UserError, match="15x15"):
        googlenet.build(small)
    assert records(googlenet.build(replace(small, grow=2)), 0, 1)


def test_a_module_that_is_not_there_cannot_be_left_out():
    with pytest.raises(UserError, match="no module '4x'"):
        googlenet.build(googlenet.Setup(without=("4x",)))


def test_without_helpers_a_record_has_the_loss_alone():
    record = plain(googlenet.build(replace(googlenet.VARIANTS["smoke"], aux=False)).step(0))
    assert set(record) == {"loss"}
    record = plain(googlenet.build(googlenet.VARIANTS["smoke"]).step(0))
    assert record["loss"] == pytest.approx(record["main"] + record["auxiliary"], rel=1e-6)


@pytest.mark.parametrize("aux", [False, True])
def test_torchvisions_weights_load_as_they_are_and_give_its_answers(aux, tmp_path):
    options = {"aux_logits": aux, "init_weights": False, "num_classes": 10}
    state, theirs = published("torchvision:googlenet", (2, 3, 64, 64), tmp_path, **options)
    ours = GoogLeNet(form="torchvision", classes=10, aux=aux)
    ours.load_state_dict(state)
    computes(ours, theirs)


def test_the_helpers_are_torchvisions(tmp_path):
    options = {"aux_logits": True, "init_weights": False, "num_classes": 10}
    state, theirs = published("torchvision:googlenet/aux2", (2, 528, 9, 9), tmp_path, **options)
    ours = Auxiliary(528, 10, "torchvision")
    ours.load_state_dict(state)
    computes(ours, theirs)
