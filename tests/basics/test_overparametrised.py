"""A wide layer beside its kernel: the gradient, the rate over seeds, the bound."""

import math
from dataclasses import replace

import pytest
import torch
from oracles import records

from shinso.basics import overparametrised
from shinso.basics.overparametrised import Setup, Wide


def test_a_step_is_autograds_step():
    program = Wide(Setup(width=10, examples=5, features=3))
    W = program.W.clone().requires_grad_()
    loss = 0.5 * ((program.X @ W.T).clamp(min=0) @ program.a - program.y).square().sum()
    (gradient,) = torch.autograd.grad(loss, W)
    assert float(program.step(0)["loss"]) == pytest.approx(float(loss.detach()), rel=1e-12)
    torch.testing.assert_close(program.W, program.start - program.rate * gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", range(1, 4))
def test_the_rate_is_within_10_percent_for_other_points(seed):
    program = Wide(Setup(seed=seed, steps=80))
    rows = records(program)
    slope = (rows[-1]["measured"] - rows[0]["measured"]) / (len(rows) - 1)
    assert slope == pytest.approx(2 * math.log1p(-program.rate * program.least), rel=0.1)


@pytest.mark.parametrize("targets", ["slowest", "random"])
def test_the_loss_stays_under_its_bound(targets):
    rows = records(overparametrised.build(replace(Setup(), targets=targets)))
    assert all(row["loss"] <= row["loss_bound"] * (1 + 1e-12) for row in rows)
    assert ("predicted" in rows[0]) == (targets == "slowest")


def test_a_narrow_net_is_not_that_straight():
    rows = records(overparametrised.build(Setup(width=8)))
    assert any(abs(row["measured"] - row["predicted"]) > row["within"] for row in rows)


def test_the_network_starts_at_zero():
    program = Wide(Setup(seed=5))
    assert float(((program.X @ program.W.T).clamp(min=0) @ program.a).abs().max()) < 1e-13
