"""Soft projection: one step by hand in NumPy, the posterior mean by counting, and training beside constants."""

import numpy as np
import pytest
import torch
from oracles import records

from shinso.core.errors import UserError
from shinso.sparse.projected_gradient import VARIANTS, Setup, build, detect, expected_sign


def test_iterations_are_those_of_numpy_word_by_word():
    draw = np.random.default_rng(0)
    A, y, b = draw.normal(size=(6, 5)), draw.normal(size=(3, 6)), np.array([0.1, 0.03, 0.2])
    found = detect(*(torch.tensor(value) for value in (y, A, b)), 8.0)
    for word in range(3):
        s = np.zeros(5)
        for t in range(3):
            s = np.tanh(8.0 * (s + b[t] * A.T @ (y[word] - A @ s)))
            np.testing.assert_allclose(found[t + 1][word].numpy(), s, rtol=1e-12, atol=1e-12)


def test_the_posterior_mean_is_what_counting_finds():
    draw = torch.Generator().manual_seed(0)
    x = 2.0 * torch.randint(0, 2, (2_000_000,), generator=draw).double() - 1
    r = x + torch.randn(len(x), generator=draw, dtype=torch.float64) / 2**0.5
    for at in (-0.5, 0.2, 0.9):
        near = (r - at).abs() < 0.01
        assert float(x[near].mean()) == pytest.approx(float(expected_sign(torch.tensor(at), 2.0)), abs=0.03)


def test_training_fits_the_steps_to_the_channel():
    program = build(Setup(size=30, iterations=5, steps=40, seed=1))
    before = float(program.evaluate("test")["loss"])
    records(program)
    judged = {name: float(value) for name, value in program.evaluate("test").items()}
    assert judged["loss"] < 0.8 * min(before, judged["loss_constant"])


def test_the_best_constant_is_no_worse_than_the_notebooks():
    program = build(VARIANTS["smoke"])
    x, y = program.words(300, torch.Generator().manual_seed(0))
    best = float((detect(y, program.A, program.best(), 8.0)[-1] - x).square().mean())
    for times in (1.0, 2.0, 3.0):  # 0.0005, 0.001 and 0.0015 for L = 2000
        steps = torch.full((4,), times / program.largest, dtype=torch.float64)
        assert best < 1.1 * float((detect(y, program.A, steps, 8.0)[-1] - x).square().mean())


def test_sizes_that_are_none_are_refused():
    with pytest.raises(UserError, match="size"):
        build(Setup(size=0))
