"""The lasso against scikit-learn, its optimality conditions, and the recovery program."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import records
from sklearn.linear_model import Lasso as SklearnLasso

from shinso.core.errors import UserError
from shinso.engine.loop import run
from shinso.learn.iterate import settled
from shinso.sparse.ista import VARIANTS, Lasso, Setup, build, soft_threshold, solve

SMOKE = VARIANTS["smoke"]


def problem(seed: int = 0, rows: int = 30, columns: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    A = torch.randn(rows, columns, generator=draw, dtype=torch.float64)
    x = torch.randn(columns, generator=draw, dtype=torch.float64) * (torch.rand(columns, generator=draw) < 0.1)
    return A, A @ x + 0.05 * torch.randn(rows, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("penalty", [0.05, 0.5, 5.0])
def test_the_solution_is_that_of_scikit_learn(seed, penalty):
    A, y = problem(seed)
    theirs = SklearnLasso(alpha=penalty / len(y), fit_intercept=False, tol=1e-14, max_iter=100_000)
    theirs.fit(A.numpy(), y.numpy())
    ours = solve(A, y, penalty)
    np.testing.assert_allclose(ours.x.numpy(), theirs.coef_, atol=1e-7)
    assert float(ours.objective) <= float(Lasso(A, y, penalty).objective(torch.tensor(theirs.coef_))) + 1e-10


def test_the_gap_is_a_certificate_at_every_point():
    A, y = problem()
    lasso, least = Lasso(A, y, 0.5), float(solve(A, y, 0.5).objective)
    draw = torch.Generator().manual_seed(1)
    for _ in range(200):
        x = torch.randn(50, generator=draw, dtype=torch.float64)
        assert float(lasso.dual(x)) <= least + 1e-11 <= float(lasso.objective(x)) + 1e-9


def test_one_solve_takes_a_batch_of_right_hand_sides_and_of_matrices():
    A, y = problem()
    many = torch.stack([y, -y, 2 * y, 0 * y])
    together = solve(A, many, 0.5)
    each = [solve(A, one, 0.5) for one in many]
    torch.testing.assert_close(together.x, torch.stack([s.x for s in each]), rtol=0, atol=1e-7)
    assert together.gap.shape == (4,)
    B, z = problem(1)
    stacked = solve(torch.stack([A, B]), torch.stack([y, z]), 0.5)
    torch.testing.assert_close(stacked.x, torch.stack([solve(A, y, 0.5).x, solve(B, z, 0.5).x]), rtol=0, atol=1e-7)


def test_arrays_and_whole_numbers_are_taken():
    assert solve(np.eye(3, dtype=np.int64), np.array([3, -1, 0]), 1).x.tolist() == pytest.approx([2, 0, 0], abs=1e-9)


@pytest.mark.parametrize(("A", "y", "penalty", "words"), [
    (torch.ones(3, 2), torch.ones(4), 1.0, "do not fit"),
    (torch.ones(3), torch.ones(3), 1.0, "do not fit"),
    (torch.ones(3, 2), torch.tensor([1.0, float("nan"), 0.0]), 1.0, "not finite"),
    (torch.ones(3, 2), torch.ones(3), -0.1, "penalty"),
    (torch.ones(3, 2), torch.ones(3), float("nan"), "penalty"),
])
def test_what_cannot_be_solved_is_refused(A, y, penalty, words):
    with pytest.raises(UserError, match=words):
        solve(A, y, penalty)


def test_a_matrix_of_zeros_has_the_zero_solution():
    solution = solve(torch.zeros(3, 2), torch.ones(3), 0.5)
    assert solution.x.tolist() == [0, 0]
    assert float(solution.gap) == pytest.approx(0, abs=1e-12)


def test_without_a_penalty_a_square_system_is_solved_exactly():
    A, _ = problem(3, 8, 8)
    x = torch.arange(8, dtype=torch.float64)
    torch.testing.assert_close(solve(A, A @ x, 0.0, tolerance=1e-20, limit=200_000).x, x, rtol=0, atol=1e-5)


@given(r=st.floats(-1e6, 1e6), c=st.floats(0, 1e6))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_soft_threshold_keeps_the_sign_and_takes_off_the_threshold(r, c):
    s = float(soft_threshold(torch.tensor(r, dtype=torch.float64), c))
    assert s == (0 if abs(r) <= c else np.sign(r) * (abs(r) - c))


@pytest.mark.parametrize("threshold", [-1e-12, float("nan")])
def test_a_negative_threshold_is_refused(threshold):
    with pytest.raises(UserError, match="threshold"):
        soft_threshold(torch.zeros(1), threshold)


@pytest.mark.parametrize("method", ["ista", "fista"])
@pytest.mark.parametrize("seed", range(5))
def test_the_gap_stays_between_zero_and_the_bound(method, seed):
    for row in records(build(dataclasses.replace(SMOKE, method=method, seed=seed, iterations=400))):
        assert -1e-10 <= row["gap"] <= row["bound"]


def test_the_step_is_the_textbook_one():
    """An independent NumPy writing of both methods walks the same path."""
    for method in ("ista", "fista"):
        program = build(dataclasses.replace(SMOKE, method=method))
        A, y, lam = program.problem.A.numpy(), program.problem.y.numpy(), SMOKE.penalty
        L = np.linalg.svd(A, compute_uv=False)[0] ** 2
        x = z = np.zeros(A.shape[1])
        t = 1.0
        for i in range(50):
            v = z - A.T @ (A @ z - y) / L
            new = np.where(v > lam / L, v - lam / L, np.where(v < -lam / L, v + lam / L, 0))
            later = (1 + np.sqrt(1 + 4 * t * t)) / 2
            z = new + (t - 1) / later * (new - x) if method == "fista" else new
            x, t = new, later
            record = program.step(i)
            F = 0.5 * np.sum((y - A @ x) ** 2) + lam * np.abs(x).sum()
            assert float(record["loss"]) == pytest.approx(F, rel=1e-11), (method, i)


def test_fista_beats_ista_by_far():
    last = {method: records(build(Setup(method=method, iterations=200)))[-1]["gap"] for method in ("ista", "fista")}
    assert last["fista"] < last["ista"] / 10


def test_the_support_is_found_and_the_error_is_of_the_size_of_the_noise():
    program = build(VARIANTS["fista"])
    records(program)
    judged = {name: float(value) for name, value in program.evaluate("test").items()}
    assert judged["error"] < 0.05
    assert judged["support_f1"] > 0.75


def test_other_splits_are_other_measurements_of_the_same_signal():
    program = build(SMOKE)
    records(program)
    losses = {split: float(program.evaluate(split)["loss"]) for split in ("validation", "test")}
    assert losses["validation"] != losses["test"]
    errors = {float(program.evaluate(split)["error"]) for split in losses}
    assert len(errors) == 1


def test_a_tolerance_ends_the_run():
    assert len(list(run(build(VARIANTS["fista"]), settled(1e-3)))) < 500


@pytest.mark.parametrize("wrong", [{"penalty": -1.0}, {"noise": -0.1}, {"density": 1.1}, {"rows": 0},
                                   {"columns": -3}, {"iterations": 0}, {"penalty": float("nan")}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(SMOKE, **wrong))


@pytest.mark.parametrize("odd", [{"density": 0.0}, {"density": 1.0}, {"noise": 0.0}, {"rows": 1, "columns": 1},
                                 {"penalty": 0.0}, {"penalty": 1e6}])
def test_extreme_setups_run_and_stay_finite(odd):
    for method in ("ista", "fista"):
        program = build(dataclasses.replace(SMOKE, method=method, **odd))
        assert all(np.isfinite(list(row.values())).all() for row in records(program))
        assert np.isfinite([float(v) for v in program.evaluate("test").values()]).all()


def test_the_pictures_show_the_signal_and_the_bound():
    program = build(SMOKE)
    empty = program.pictures()["signal"]
    records(program)
    pictures = program.pictures()
    assert set(pictures) == {"signal", "bound"}
    assert (pictures["signal"] != empty).any(), "the recovered signal is drawn"
