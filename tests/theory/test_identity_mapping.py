"""A layer with a skip connection: its gradients, its two phases, and that the phases are its own."""

import pytest
import torch
from oracles import records

from shinso.theory.arc_cosine import loss
from shinso.theory.identity_mapping import Residual, Setup, build, settled


def test_the_exact_slope_is_that_of_autograd():
    program = Residual(Setup(dimensions=4))
    W = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(0.2).requires_grad_()
    (expected,) = torch.autograd.grad(loss(program.one + W, program.one + program.target), W)
    program.W = W.detach()
    torch.testing.assert_close(program.slope(), expected, rtol=1e-10, atol=1e-12)


def test_the_sampled_slope_is_the_exact_one_on_average():
    program = Residual(Setup(dimensions=4, batch_size=200_000))
    program.W = 0.3 * torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert float((program.sampled_slope() - program.slope()).abs().max()) < 4 * 2.0 / 200_000**0.5


def test_the_teacher_has_the_spectral_norm_of_the_setup():
    assert float(torch.linalg.matrix_norm(Residual(Setup(norm=0.4)).target, 2)) == pytest.approx(0.4, rel=1e-12)


def test_the_start_is_the_identity_and_its_potential_that_of_the_teacher():
    program = Residual(Setup())
    assert not program.W.any()
    by_hand = sum(float((program.one[i] + program.target[i]).norm()) - 1 for i in range(10))
    assert program.potential() == pytest.approx(by_hand, abs=1e-13)


@pytest.mark.parametrize("seed", range(3, 8))
def test_two_phases_for_other_teachers(seed):
    rows = records(build(Setup(seed=seed)))
    assert settled(rows) < settled(rows, "distance") / 3
    assert min(row["inner_product"] for row in rows[200:]) > 0
    assert rows[-1]["loss"] < 1e-4


def test_samples_lead_to_the_same_teacher():
    program = build(Setup(batch_size=50, steps=800))
    rows = records(program)
    assert rows[-1]["loss"] < 1e-5 and rows[-1]["distance"] < rows[0]["distance"] / 10


def test_settled_says_after_the_last_if_it_never_does():
    assert settled([{"potential": 1.0}, {"potential": 0.5}]) == 3
    assert settled([{"potential": -1.0}, {"potential": 0.05}]) == 2
