"""Gradients, closed forms and planted saddles of deep linear networks."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles import records

from shinso.core.errors import UserError
from shinso.theory.linear_networks import LinearNets, Regression, Setup, build, product, relu_loss, subsets

TASK = Regression(5, 3, 60, 4)


def weights(*sizes: int, starts: int = 2) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(starts, b, a, generator=draw, dtype=torch.float64)
            for a, b in pairwise(sizes)]


@pytest.mark.parametrize("sizes", [(5, 3), (5, 4, 3), (5, 4, 2, 3), (5, 4, 4, 4, 3)])
def test_slopes_are_those_of_autograd(sizes):
    W = [w.requires_grad_() for w in weights(*sizes)]
    expected = torch.autograd.grad(TASK.loss(W).sum(), W)
    for ours, theirs in zip(TASK.slopes([w.detach() for w in W]), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_the_full_optimum_is_least_squares():
    M = torch.linalg.solve(TASK.A, TASK.C.T).T
    assert float(TASK.loss([M])) == pytest.approx(TASK.optimum(3), rel=1e-12)


@pytest.mark.parametrize("rank", [1, 2])
def test_no_matrix_of_low_rank_is_below_the_optimum_and_alternating_least_squares_reaches_it(rank):
    V = torch.randn(rank, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for _ in range(500):
        U = torch.linalg.solve(V @ TASK.A @ V.T, V @ TASK.C.T).T
        V = torch.linalg.solve(U.T @ U, U.T @ torch.linalg.solve(TASK.A, TASK.C.T).T)
    assert float(TASK.loss([V, U])) == pytest.approx(TASK.optimum(rank), rel=1e-10)


@pytest.mark.parametrize("hidden", [(4,), (4, 4), (3, 5, 4)])
@pytest.mark.parametrize("filled", [True, False])
def test_planted_points_are_critical_at_the_foreseen_height(hidden, filled):
    for kept in subsets(3):
        W = TASK.planted(kept, hidden, filled=filled)
        assert max(float(g.abs().max()) for g in TASK.slopes(W)) < 1e-13
        assert float(TASK.loss(W)) == pytest.approx(TASK.height(kept), rel=1e-12)
        assert int(torch.linalg.matrix_rank(product(W), rtol=1e-9)) == len(kept)


def test_saddles_of_two_layers_are_strict():
    """Every planted saddle of two layers has negative curvature, with either filling."""
    for kept in subsets(3)[:-1]:
        for filled in (True, False):
            H = TASK.hessian(TASK.planted(kept, (4,), filled=filled))
            assert torch.linalg.eigvalsh(H)[0] < -1e-3, kept
    assert torch.linalg.eigvalsh(TASK.hessian(TASK.planted((0, 1, 2), (4,), filled=True)))[0] > -1e-12


@pytest.mark.parametrize("hidden", [(4, 4), (2, 4), (1,), (4,), (3, 3, 3)])
def test_every_start_reaches_the_optimum_for_other_shapes_and_data(hidden):
    rows = records(build(Setup(hidden=hidden, seed=3, steps=10, inner=600, scale=0.6, lr=0.03)))
    assert abs(rows[-1]["gap"]) < 1e-6
    assert rows[-1]["rank_least"] == min(3, *hidden)


def test_small_starts_wait_at_foreseen_heights():
    """Where the loss hardly moves before its end, its median is within 2 percent of a height (3) of a saddle."""
    program = LinearNets(Setup(scale=0.03, steps=120, inner=10, starts=5))
    records(program)
    heights = np.array([program.task.height(kept) for kept in subsets(3)[:-1]])
    seen = np.array(program.seen)
    for start in seen.T:
        flat = [i for i in range(1, len(start)) if abs(start[i] - start[i - 1]) < 1e-3 * start[i]
                and start[i] > 1.05 * program.best]
        assert len(flat) >= 10
        off = np.abs(start[flat][:, None] / heights - 1).min(1)
        assert np.median(off) < 0.02


def test_the_bad_relu_minimum_is_a_trap_for_descent():
    draw = torch.Generator().manual_seed(0)
    v, w = (torch.randn(100, generator=draw, dtype=torch.float64).requires_grad_() for _ in range(2))
    for _ in range(2000):
        dv, dw = torch.autograd.grad(relu_loss(v, w).sum(), (v, w))
        with torch.no_grad():
            v -= 0.02 * dv
            w -= 0.02 * dw
    losses = relu_loss(v, w).detach()
    assert int((losses - 2).abs().lt(1e-6).sum()) > 10 < int((losses - 0.5).abs().lt(1e-6).sum())


def test_bad_shapes_are_refused():
    with pytest.raises(UserError, match="hidden"):
        build(Setup(hidden=()))
    with pytest.raises(UserError, match="examples"):
        build(Setup(examples=4))
