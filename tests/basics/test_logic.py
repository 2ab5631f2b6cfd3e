"""Many small networks at once: their gradients, their updates, and how many of them succeed."""

import dataclasses

import pytest
import torch
from oracles import records
from torch import nn

from shinso.basics.logic import ROWS, TABLES, VARIANTS, Setup, answers, build, first_weights, gradients, teacher
from shinso.core.errors import UserError


def network(weights, k: int) -> nn.Module:
    """Member k as torch's own layers."""
    if "W1" not in weights:
        layers = [nn.Linear(2, 1), nn.Sigmoid()]
    else:
        hidden = weights["W1"].shape[1]
        layers = [nn.Linear(2, hidden), nn.Sigmoid(), nn.Linear(hidden, 1), nn.Sigmoid()]
    model = nn.Sequential(*layers).double()
    given = [weights[name][k] for name in ("W1", "b1", "w2", "b2") if name in weights]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), given, strict=True):
            parameter.copy_(value.view_as(parameter))
    return model


@pytest.mark.parametrize("hidden", [0, 1, 2, 5])
@pytest.mark.parametrize("gate", TABLES)
def test_answers_and_gradients_are_torchs(hidden, gate):
    weights = first_weights(3, hidden, 7)
    loss, found = gradients(weights, ROWS.expand(3, 4, 2), teacher(gate))
    for k in range(3):
        model = network(weights, k)
        y = model(ROWS)[:, 0]
        assert torch.allclose(answers(weights, ROWS.expand(3, 4, 2))[k], y, atol=1e-14)
        error = nn.MSELoss()(y, teacher(gate))
        error.backward()
        assert float(error.detach()) == pytest.approx(float(loss[k]), rel=1e-12)
        theirs = [p.grad.flatten() for p in model.parameters()]
        ours = [found[name][k].flatten() for name in ("W1", "b1", "w2", "b2") if name in found]
        assert torch.allclose(torch.cat(theirs), torch.cat(ours), atol=1e-15, rtol=1e-12)


def test_a_member_is_trained_as_if_it_were_alone():
    setup = Setup(gate="xor", members=4, batch_size=0, steps=50)
    program = build(setup)
    alone = network(program.weights, 2)
    adam = torch.optim.Adam(alone.parameters(), lr=setup.lr)
    for _ in range(50):
        adam.zero_grad()
        nn.MSELoss()(alone(ROWS)[:, 0], teacher("xor")).backward()
        adam.step()
    records(program)
    assert torch.allclose(answers(program.weights, ROWS.expand(4, 4, 2))[2], alone(ROWS)[:, 0], atol=1e-10)


@pytest.mark.parametrize("gate", ["and", "or", "nand"])
def test_separable_gates_are_learned_with_and_without_hidden_units(gate):
    for hidden in (0, 2):
        program = build(Setup(gate=gate, hidden=hidden, members=10))
        records(program)
        assert float(program.evaluate("test")["solved"]) >= 0.9


def test_success_on_xor_grows_with_the_hidden_units_for_another_seed_too():
    shares = []
    for hidden in (0, 2, 8):
        program = build(Setup(hidden=hidden, seed=5))
        shares.append(records(program)[-1]["solved"])
    assert shares[0] == 0 < shares[1] < shares[2]
    assert shares[2] >= 0.9


def test_the_pictures_follow_the_training():
    program = build(VARIANTS["smoke"])
    before = program.pictures()
    records(program)
    after = program.pictures()
    assert set(after) == {"surface", "share"} and (before["surface"] != after["surface"]).any()


@pytest.mark.parametrize("wrong", [{"members": 0}, {"lr": float("nan")}, {"steps": 0}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(Setup(), **wrong))
