"""The slope against autograd, the Gram matrix against the change of the answers, and where the bounds end."""

from dataclasses import replace

import pytest
import torch
from oracles import records

from shinso.basics.overparametrised import kernel_of
from shinso.theory import over_parametrisation
from shinso.theory.over_parametrisation import Descent, Setup, ends, slope, sphere, start, wrong


def test_the_slope_is_that_of_the_loss():
    X, y = sphere(7, 4, 0)
    W, a = start(30, 4, 1)
    W = W.requires_grad_()
    loss = wrong(W, a, X, y).square().sum() / 2
    (expected,) = torch.autograd.grad(loss, W)
    torch.testing.assert_close(slope(W.detach(), a, X, wrong(W.detach(), a, X, y)), expected, rtol=1e-12, atol=1e-14)


def test_many_starts_at_once_are_each_as_alone():
    X, y = sphere(6, 3, 0)
    drawn = [start(10, 3, seed) for seed in range(3)]
    W, a = torch.stack([W for W, _ in drawn]), torch.stack([a for _, a in drawn])
    together = slope(W, a, X, wrong(W, a, X, y))
    for k, (one, signs) in enumerate(drawn):
        torch.testing.assert_close(together[k], slope(one, signs, X, wrong(one, signs, X, y)), rtol=1e-12, atol=1e-14)


def test_a_small_step_changes_the_answers_by_the_gram_matrix():
    X, y = sphere(6, 4, 2)
    W, a = start(500, 4, 3)
    error = wrong(W, a, X, y)
    moved = wrong(W - 1e-7 * slope(W, a, X, error), a, X, y)
    torch.testing.assert_close((error - moved) / 1e-7, kernel_of(X, W) @ error, rtol=1e-4, atol=1e-5)
    steep = slope(W, a, X, error).square().sum()
    torch.testing.assert_close(steep, error @ kernel_of(X, W) @ error, rtol=1e-12, atol=0)


@pytest.mark.parametrize("seed", [1, 2])
def test_other_points_keep_the_three_inequalities(seed):
    program = Descent(Setup(width=4096, steps=80, seed=seed))
    for row in records(program):
        assert row["squared_error"] <= row["squared_error_bound"] * (1 + 1e-12)
        assert row["moved"] <= row["moved_bound"]
        assert row["least_share"] >= 0.5


def test_a_rate_beyond_the_largest_eigenvalue_breaks_the_bound():
    program = Descent(replace(Setup(width=1024), share=1.0))
    program.rate *= 3
    rows = records(program, 0, 30)
    assert rows[-1]["squared_error"] > rows[-1]["squared_error_bound"] or rows[-1]["loss"] > rows[0]["loss"]


def test_between_two_and_a_hundred_units_the_worst_start_gets_better():
    worst = [max(ends(width, 8, 800, 0)) for width in (2, 16, 128)]
    assert worst[0] > 1 > 1e-10 > worst[1] > worst[2]


def test_the_narrow_variant_runs_to_its_end():
    rows = records(over_parametrisation.build(over_parametrisation.VARIANTS["narrow"]))
    assert rows[-1]["loss"] < rows[0]["loss"]
