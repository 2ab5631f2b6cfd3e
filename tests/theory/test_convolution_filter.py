"""Closed forms of a filter under Gaussian patches, its two ends, and restarts."""

import math

import pytest
import torch
from oracles import records

from shinso.theory.convolution_filter import (
    Filters,
    Setup,
    angle,
    bad_top,
    build,
    loss,
    shared,
    slopes,
    with_restarts,
)


def test_the_slopes_are_those_of_autograd():
    program = Filters(Setup(starts=5))
    v, a = (2 * program.v).requires_grad_(), program.a.clone().requires_grad_()
    expected = torch.autograd.grad(loss(v, a, program.target, program.top).sum(), (v, a))
    found = slopes(v.detach(), a.detach(), program.target, program.top)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_the_loss_does_not_see_the_length_of_the_filter():
    program = Filters(Setup())
    torch.testing.assert_close(loss(3 * program.v, program.a, program.target, program.top),
                               loss(program.v, program.a, program.target, program.top))


def test_shared_at_its_ends():
    assert float(shared(torch.tensor(0.0))) == pytest.approx(0.5 - 1 / (2 * math.pi))
    assert float(shared(torch.tensor(math.pi))) == pytest.approx(-1 / (2 * math.pi))


def test_the_teacher_is_the_minimum_and_the_bad_top_a_critical_point():
    program = Filters(Setup())
    assert abs(float(loss(program.target, program.top, program.target, program.top))) < 1e-15
    for_v, for_a = slopes(-program.target, bad_top(program.top), program.target, program.top)
    assert float(for_v.abs().max()) < 1e-12 and float(for_a.abs().max()) < 1e-12


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_start_ends_at_the_teacher_or_opposite(seed):
    program = build(Setup(seed=seed, starts=200, steps=40, inner=20))
    rows = records(program)
    assert 0 < rows[-1]["share_arrived"] < 1
    good = program.arrived()
    assert angle(program.v, program.target)[good].max() < 0.01
    assert angle(program.v, program.target)[~good].min() > 3.0


def test_restarts_are_counted_in_groups():
    done = torch.tensor([True, False, False, False, False, True, False])
    assert with_restarts(done, 1) == pytest.approx(2 / 7)
    assert with_restarts(done, 2) == pytest.approx(2 / 3)
    assert with_restarts(done, 3) == 1.0
    assert with_restarts(done, 20) == 1.0
