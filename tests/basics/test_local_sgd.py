"""Parameter averaging: gradients of one worker do not touch another, averages by hand, and what a start costs."""

import pytest
import torch
from oracles import records

from shinso.basics.local_sgd import Setup, averaged, build, descend, losses
from shinso.core.errors import UserError


def test_a_worker_moves_by_its_own_gradient_alone():
    program = build(Setup(workers=3, distribute_first=False))
    x, y = program.batches(0, 0)
    together, found = descend(program.weights, x, y, 0.3)
    for k in range(3):
        alone, loss = descend([w[k:k + 1] for w in program.weights], x[k:k + 1], y[k:k + 1], 0.3)
        torch.testing.assert_close(loss[0], found[k])
        for both, one in zip(together, alone, strict=True):
            torch.testing.assert_close(both[k:k + 1], one, rtol=1e-12, atol=1e-12)


def test_the_loss_is_torchs_cross_entropy():
    program = build(Setup(workers=2))
    x, y = program.batches(0, 0)
    W, b, V, c = (w[1] for w in program.weights)
    expected = torch.nn.functional.cross_entropy(torch.tanh(x[1] @ W + b) @ V + c, y[1])
    torch.testing.assert_close(losses(program.weights, x, y)[1], expected)


def test_an_average_is_the_mean_and_everyone_gets_it():
    (w,) = averaged([torch.tensor([[1.0, 2.0], [3.0, 6.0]])])
    assert w.tolist() == [[2.0, 4.0], [2.0, 4.0]]


def test_workers_see_digits_of_their_own_share():
    program = build(Setup(workers=4, batch_size=200))
    x, _ = program.batches(3, 1)
    seen = [{tuple(row.tolist()) for row in x[k]} for k in range(4)]
    assert not (seen[0] & seen[1]) and not (seen[2] & seen[3])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_starting_apart_is_worse_for_other_seeds(seed):
    ends = [build(Setup(seed=seed, local_steps=60, distribute_first=first)).step(0)["loss"] for first in (True, False)]
    assert ends[1] > 2 * ends[0]


def test_it_learns_the_digits():
    program = build(Setup(rounds=40))
    records(program)
    assert float(program.evaluate("test")["accuracy"]) > 0.9


def test_sizes_that_are_none_are_refused():
    with pytest.raises(UserError, match="workers"):
        build(Setup(workers=0))
