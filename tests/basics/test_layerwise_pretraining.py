"""A stack of autoencoders: exact copies, and a lower start on digits."""

import pytest
import torch
from oracles import records

from shinso.basics import layerwise_pretraining
from shinso.basics.layerwise_pretraining import Setup
from shinso.core.errors import UserError


@pytest.mark.parametrize("seed", range(2))
def test_with_labels_the_stack_is_ahead_of_the_random_net(seed):
    program = layerwise_pretraining.build(Setup(hidden=(64, 48, 32), pretrain=300, steps=150, seed=seed))
    rows = records(program)[-150:]
    assert sum(row["loss"] for row in rows) < 0.9 * sum(row["loss_random"] for row in rows)
    assert program.unseen(program.stack)[0] < 0.9 * program.unseen(program.random)[0]


def test_autoencoders_get_better_one_after_the_other():
    program = layerwise_pretraining.build(Setup(hidden=(32, 16), pretrain=200, steps=1))
    rows = records(program)
    assert [row["stage"] for row in rows] == [1.0] * 200 + [2.0] * 200 + [3.0]
    for stage in (rows[:200], rows[200:400]):
        assert stage[-1]["reconstruction"] < 0.5 * stage[0]["reconstruction"]


def test_an_upper_autoencoder_moves_no_lower_weight():
    program = layerwise_pretraining.build(Setup(hidden=(16, 8), pretrain=10, steps=1))
    records(program, 0, 10)
    below = program.encoders[0].weight.clone()
    records(program, 10, 20)
    assert torch.equal(below, program.encoders[0].weight)


def test_no_layers_are_refused():
    with pytest.raises(UserError, match="no layers"):
        layerwise_pretraining.build(Setup(hidden=()))
