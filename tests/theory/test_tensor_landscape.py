"""Fourth moments, the gradient of the designed loss, and where descent on both losses ends."""

import math
from itertools import permutations

import pytest
import torch
from oracles import records

from shinso.core.errors import UserError
from shinso.theory.tensor_landscape import Landscape, Setup, build, designed, found, hermite4, power4, slope


def test_the_slope_is_that_of_autograd():
    draw = torch.Generator().manual_seed(1)
    W = torch.randn(3, 4, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    V = torch.randn(4, 5, generator=draw, dtype=torch.float64)
    (expected,) = torch.autograd.grad(designed(W, V, 0.2, 1.5).sum(), W)
    torch.testing.assert_close(slope(W.detach(), V, 0.2, 1.5), expected, rtol=1e-11, atol=1e-11)


def test_the_designed_loss_is_its_four_sums():
    draw = torch.Generator().manual_seed(2)
    W, V = (torch.randn(3, 4, generator=draw, dtype=torch.float64) for _ in range(2))
    k, mu, lam = range(3), 0.3, 1.1
    by_hand = sum(float((V[i] @ W[a]) ** 2 * (V[i] @ W[b]) ** 2) for i in k for a, b in permutations(k, 2))
    by_hand -= mu * sum(float((V[i] @ W[a]) ** 4) for i in k for a in k)
    by_hand += lam * sum(float(W[a] @ W[a] - 1) ** 2 for a in k)
    assert float(designed(W, V, mu, lam)) == pytest.approx(by_hand, rel=1e-12)


def test_hermite_tensors_are_orthogonal_to_lower_degrees_and_have_the_norm_of_their_index():
    """E H_abce^2 is the product of factorials of the multiplicities; by Gauss quadrature in two dimensions."""
    import numpy as np

    z, weight = np.polynomial.hermite_e.hermegauss(12)
    x = torch.tensor([(a, b) for a in z for b in z])
    w = torch.tensor([a * b for a in weight for b in weight]) / (2 * math.pi)
    H = hermite4(x)
    gram = (H * w[:, None]).T @ H
    torch.testing.assert_close(gram, torch.diag(torch.tensor([24.0, 6.0, 4.0, 6.0, 24.0], dtype=gram.dtype)))
    for lower in (torch.ones_like(w), x[:, 0], x[:, 0] * x[:, 1], x[:, 0] ** 3):
        torch.testing.assert_close((w * lower) @ H, torch.zeros(5, dtype=H.dtype), rtol=0, atol=1e-10)


def test_powers_come_in_the_order_of_the_hermite_entries():
    w = torch.tensor([2.0, 3.0], dtype=torch.float64)
    assert power4(w).tolist() == [16.0, 24.0, 36.0, 54.0, 81.0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_starts_reach_the_teachers_too(seed):
    rows = records(build(Setup(seed=seed, starts=30)))
    assert rows[-1]["share_found"] == 1.0


def test_descent_on_the_plain_loss_splits_into_those_at_zero_and_those_in_bad_minima():
    program = Landscape(Setup(loss="plain", lr=0.4, starts=20, seed=1, inner=20))
    records(program)
    heights = program.heights()
    good = found(program.W, program.V)
    assert 0 < int(good.sum()) < 20
    assert heights[good].max() < 1e-4 < 1e-3 < heights[~good].min()


def test_two_units_at_one_teacher_are_not_all_found():
    V = torch.eye(3, dtype=torch.float64)
    assert bool(found(-V[[1, 2, 0]], V)) and not bool(found(V[[0, 0, 2]], V))


def test_a_pull_as_strong_as_the_length_is_refused():
    with pytest.raises(UserError, match="mu"):
        build(Setup(mu=2.0))
