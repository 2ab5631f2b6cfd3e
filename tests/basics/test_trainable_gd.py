"""Trainable descent: its gradients by autograd's rules, its expectation, its constants, and the notebook's training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import records
from scipy.optimize import minimize_scalar

from shinso.basics.trainable_gd import VARIANTS, Setup, build, error, expected, height, slope, starts, walk
from shinso.core.errors import UserError
from shinso.learn.incremental import Incremental


@pytest.mark.parametrize("function", ["quadratic", "egg"])
def test_the_slope_is_the_gradient_of_the_height(function):
    x = starts(50, torch.Generator().manual_seed(0)).requires_grad_()
    (gradient,) = torch.autograd.grad(height(function, x).sum(), x)
    torch.testing.assert_close(slope(function, x.detach()), gradient, rtol=1e-12, atol=1e-12)


def test_the_expectation_is_the_mean_over_many_starts():
    x = starts(400_000, torch.Generator().manual_seed(0))
    for steps in ([0.07], [0.03, 0.2], [0.1, 0.1, 0.05]):
        measured = float(error(walk("quadratic", x, steps)[-1]))
        assert measured == pytest.approx(float(expected(torch.tensor(steps, dtype=torch.float64))), rel=0.01)


def test_a_search_finds_18_of_260():
    found = minimize_scalar(lambda b: float(expected(torch.tensor([b], dtype=torch.float64))), bounds=(0, 0.2),
                            method="bounded", options={"xatol": 1e-10})
    assert found.x == pytest.approx(18 / 260, abs=1e-7) and found.fun == pytest.approx(12.5641, abs=1e-4)


def test_a_walk_has_its_start_and_all_t_places():
    assert len(walk("egg", torch.ones(3, 2), [0.1] * 10)) == 11


def test_later_steps_stay_until_their_generation_even_with_one_adam():
    program = build(Setup(iterations=3, steps=10))
    seen = []
    for i in range(program.total):
        program.step(i)
        seen.append(program.steps().numpy())
    assert all((row[i // 10 + 1:] == 0.01).all() for i, row in enumerate(seen))
    assert all(row[i // 10] != 0.01 for i, row in enumerate(seen))
    earlier = np.array(seen)[10:, 0]
    assert (np.diff(earlier) != 0).all(), "the first step is trained on with the later ones"


def test_a_fresh_adam_forgets_the_moments():
    start = {"b": torch.tensor([1.0, 1.0], dtype=torch.float64)}

    def loss(numbers, depth, draw):
        return numbers["b"][0] if depth == 1 else numbers["b"][1]  # the first number has no gradient later

    for fresh in (False, True):
        program = Incremental(start, loss, steps=5, lr=0.1, seed=0, fresh=fresh)
        records(program, 0, 5)
        before = float(program.learned()["b"][0])
        records(program, 5, 10)
        assert (float(program.learned()["b"][0]) == before) == fresh


def test_the_record_predicts_what_it_measures_for_another_seed():
    for row in records(build(replace(VARIANTS["default"], seed=5, steps=60, lr=0.02))):
        assert abs(row["measured"] - row["predicted"]) <= row["within"]
        assert row["measured"] == row["loss"]


def test_the_measure_notices_a_wrong_formula():
    rows = records(build(replace(VARIANTS["default"], steps=30, batch_size=5000)))
    off = [abs(row["measured"] - 1.3 * row["predicted"]) > row["within"] for row in rows[:60]]
    assert any(off)


@pytest.mark.slow
def test_the_notebooks_training_on_the_egg_crate_beats_its_three_constants():
    program = build(VARIANTS["egg"])
    records(program)
    judged = {name: float(value) for name, value in program.evaluate("test").items()}
    assert judged["loss"] < 0.85 * judged["loss_constant"]


def test_sizes_that_are_none_are_refused():
    with pytest.raises(UserError, match="iterations"):
        build(Setup(iterations=0))
