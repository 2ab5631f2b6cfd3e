"""Students and their teacher: the sampled gradient, who arrives, who does not."""

import pytest
import torch
from oracles import records

from shinso.core.errors import UserError
from shinso.theory.arc_cosine import loss
from shinso.theory.fixed_top import DONE, Setup, Students, build, sampled_slope


def test_the_sampled_slope_is_that_of_autograd():
    program = Students(Setup(starts=4, units=5))
    x = torch.randn(30, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    W = program.W.clone().requires_grad_()
    wrong = (W @ x.T).clamp(min=0).sum(-2) - (program.V @ x.T).clamp(min=0).sum(0)
    (expected,) = torch.autograd.grad(0.5 * wrong.square().mean(-1).sum(), W)
    torch.testing.assert_close(sampled_slope(program.W, program.V, x), expected, rtol=1e-12, atol=1e-12)


def test_the_exact_loss_is_the_mean_over_samples():
    program = Students(Setup(starts=1))
    x = torch.randn(200_000, 10, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    each = 0.5 * ((x @ program.W[0].T).clamp(min=0).sum(1) - (x @ program.V.T).clamp(min=0).sum(1)).square()
    assert abs(float(each.mean() - loss(program.W, program.V)[0])) < 4 * float(each.std()) / len(x) ** 0.5


@pytest.mark.parametrize("seed", [1, 2])
def test_three_units_arrive_for_other_teachers(seed):
    rows = records(build(Setup(seed=seed)))
    assert rows[-1]["share_arrived"] >= 0.9
    assert rows[-1]["loss_best"] < 1e-12


def test_one_unit_is_the_arc_cosine_landscape():
    rows = records(build(Setup(units=1, starts=30, steps=40)))
    assert rows[-1]["share_arrived"] == 1.0


def test_those_that_arrive_are_permutations_of_the_teacher():
    program = build(Setup(units=5, steps=60, inner=40))
    rows = records(program)
    arrived = loss(program.W, program.V) < DONE
    assert 0 < float(arrived.double().mean()) == pytest.approx(rows[-1]["share_arrived"])
    for W in program.W[arrived]:
        nearest = torch.cdist(program.V, W).argmin(1)
        assert sorted(nearest.tolist()) == [0, 1, 2, 3, 4]
        torch.testing.assert_close(W[nearest], program.V, rtol=0, atol=0.02)


def test_orthogonal_teachers_are_and_too_many_are_refused():
    V = Students(Setup(teacher="orthogonal", units=10)).V
    torch.testing.assert_close(V @ V.T, torch.eye(10, dtype=torch.float64))
    with pytest.raises(UserError, match="orthogonal"):
        build(Setup(teacher="orthogonal", units=11))
