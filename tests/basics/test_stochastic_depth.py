"""Stochastic depth: which blocks are there, and that the full net answers."""

import copy

import pytest
import torch
from oracles import records

from shinso.basics import stochastic_depth
from shinso.basics.stochastic_depth import Residual, Setup
from shinso.core.record import plain


def test_the_full_net_answers_after_training_without_it():
    program = stochastic_depth.build(Setup(epochs=10))
    rows = records(program)
    assert max(row["live"] for row in rows) < 24, "the net of full depth was never trained"
    assert plain(program.evaluate("test"))["accuracy"] > 0.93


def test_a_constant_depth_leaves_nothing_out():
    rows = records(stochastic_depth.build(Setup(last=1.0, epochs=1, blocks=6, width=16)))
    assert {row["live"] for row in rows} == {6.0}


@pytest.mark.parametrize("last", [0.0, 0.3, 0.5, 1.0])
def test_the_mean_depth_by_the_sum(last):
    blocks = 17
    closed = blocks - (1 - last) * (blocks + 1) / 2
    assert float(stochastic_depth.survival(blocks, last).sum()) == pytest.approx(closed, rel=1e-12)


def test_weights_of_one_and_zero_are_the_blocks_that_are_there():
    torch.manual_seed(0)
    net = Residual(3, 5, 2, 3, 0.5).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    h = net.enter(x)
    h = h + torch.relu(net.blocks[1](h))
    torch.testing.assert_close(net.weighted(x, [0.0, 1.0, 0.0]), net.leave(h))


def test_counting_survives_a_resume():
    program, second = (stochastic_depth.build(stochastic_depth.VARIANTS["smoke"]) for _ in range(2))
    records(program, 0, 7)
    second.restore(copy.deepcopy(program.state()))
    assert records(second, 7, 15) == records(program, 7, 15)
