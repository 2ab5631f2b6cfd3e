"""The loop beside its NumPy twin, and the slip that a detector must find in any model."""

import numpy as np
import pytest
import torch
from oracles import records
from torch import nn

from shinso.basics import training_loop


@pytest.mark.parametrize("seed", range(3))
def test_the_loop_reproduces_the_numpy_loop(seed):
    for row in records(training_loop.build(training_loop.Setup(seed=seed))):
        assert abs(row["measured"] - row["predicted"]) <= 1e-12 * (1 + row["predicted"])


def test_the_loop_finds_the_least_squares_solution():
    program = training_loop.build(training_loop.Setup(batch_size=100, steps=2000))
    records(program)
    A = np.hstack([program.x.numpy(), np.ones((100, 1))])
    best = np.linalg.lstsq(A, program.y.numpy(), rcond=None)[0][:, 0]
    np.testing.assert_allclose([*program.W[0], program.b[0]], best, atol=1e-10)


def test_a_forgotten_zero_grad_is_found_in_a_deep_network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    x, y = torch.randn(8, 3, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)
    before = [weight.clone() for weight in net.parameters()]
    assert training_loop.forgets(training_loop.without_zero_grad, net, x, y)
    assert not training_loop.forgets(training_loop.four_steps, net, x, y)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)), "the probe is a copy"


def test_the_added_up_gradients_survive_a_resume():
    program, second = (training_loop.build(training_loop.VARIANTS["smoke"]) for _ in range(2))
    records(program, 0, 10)
    second.restore(program.state())
    assert records(second, 10, 20) == records(program, 10, 20)
