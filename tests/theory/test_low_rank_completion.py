"""The gradient, what is seen, the count of free numbers, and recovery against another solver."""

import numpy as np
import pytest
import torch
from oracles import records

from shinso.theory.low_rank_completion import (
    Setup,
    build,
    complete,
    errors,
    least_share,
    longest,
    masks,
    objective,
    slope,
    tables,
)


def test_the_slope_is_that_of_autograd_inside_and_outside_of_alpha():
    Z, seen = tables(1, 8, 2, 1)[0], masks(1, 8, 0.6, 1)[0]
    U = 6 * torch.randn(3, 8, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    outside = U.norm(dim=-1) > longest(Z)
    assert outside.any() and not outside.all()
    u = U.clone().requires_grad_()
    (expected,) = torch.autograd.grad(objective(u, Z, seen, 0.7).sum(), u)
    torch.testing.assert_close(slope(U, Z, seen, 0.7), expected, rtol=1e-11, atol=1e-9)


def test_the_objective_is_a_sum_over_ordered_pairs():
    Z, seen = tables(1, 5, 2, 3)[0], masks(1, 5, 0.5, 3)[0]
    U, M = torch.ones(5, 2, dtype=torch.float64), Z @ Z.T
    by_hand = sum(float(2 - M[i, j]) ** 2 for i in range(5) for j in range(5) if seen[i, j])
    assert float(objective(U, Z, seen, 0.0)) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_what_is_seen_is_mirrored_and_of_the_right_share(p):
    seen = masks(20, 30, p, 0)
    assert torch.equal(seen, seen.mT) and set(seen.unique().tolist()) == {0.0, 1.0}
    upper = seen[:, *torch.triu_indices(30, 30)]
    assert abs(float(upper.mean()) - p) < 5 * (p * (1 - p) / upper.numel()) ** 0.5


def test_more_seen_means_nothing_lost():
    assert (masks(2, 20, 0.3, 0) <= masks(2, 20, 0.6, 0)).all()


def test_the_truth_and_its_rotations_are_the_minimum():
    Z, seen = tables(1, 20, 2, 0)[0], masks(1, 20, 0.5, 0)[0]
    c, s = np.cos(1.0), np.sin(1.0)
    turned = Z @ torch.tensor([[c, -s], [s, c]])
    assert float(objective(turned, Z, seen, 0.1)) < 1e-20
    assert float(slope(turned, Z, seen, 0.1).abs().max()) < 1e-9


@pytest.mark.parametrize(("size", "rank", "number"), [(40, 2, 79), (10, 1, 10), (10, 3, 27)])
def test_free_numbers(size, rank, number):
    assert least_share(size, rank) * size * (size + 1) / 2 == pytest.approx(number)


@pytest.mark.parametrize("seed", [1, 2])
def test_half_is_enough_for_other_tables(seed):
    Z, seen = tables(6, 40, 2, seed), masks(6, 40, 0.5, seed)
    assert int((errors(complete(Z, seen, 10, 350, seed), Z) < 1e-3).sum()) >= 54  # 9 of 10


def test_recovery_grows_with_what_is_seen():
    rows = records(build(Setup(size=20, rank=1, tables=2, starts=5, steps=250)))
    recovered = [row["recovered"] for row in rows]
    assert recovered[0] == 0.0 and min(recovered[-10:]) == 1.0
    assert all(row["recovered"] == 0 for row in rows if not row["enough_numbers"])
