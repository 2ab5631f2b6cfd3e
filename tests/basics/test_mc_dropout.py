"""Doubt from masks: where it is large, and that looking at it changes nothing."""

import torch
from oracles import records
from torch import nn

from shinso.basics import mc_dropout
from shinso.core.seed import generator


def test_the_spread_is_larger_outside_for_three_seeds():
    for seed in range(3):
        last = records(mc_dropout.build(mc_dropout.Setup(seed=seed, steps=500)))[-1]
        assert last["spread_outside"] > 1.2 * last["spread_inside"], seed


def test_one_network_keeps_its_mask_along_the_curve():
    program = mc_dropout.build(mc_dropout.VARIANTS["smoke"])
    twice = torch.zeros(2, 1)
    answers = mc_dropout.samples(program.model, twice, 50, generator(0, "x"))
    assert torch.equal(answers[:, 0], answers[:, 1])
    assert answers[:, 0].unique().numel() > 40


def test_without_masks_there_is_no_doubt():
    program = mc_dropout.build(mc_dropout.Setup(p=0.0, steps=1))
    x = torch.linspace(-6, 6, 7)[:, None]
    answers = mc_dropout.samples(program.model, x, 5, generator(0, "x"))
    torch.testing.assert_close(answers, program.model(x)[None, :, 0].expand(5, -1).detach(), rtol=0, atol=1e-6)


def test_only_dropout_is_switched_on():
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Sequential(nn.Dropout(), nn.LayerNorm(4)))
    mc_dropout.only_dropout_on(net)
    assert [type(part) for part in net.modules() if part.training] == [nn.Dropout, nn.Dropout]
