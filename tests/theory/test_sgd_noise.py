"""The laws against every batch that there is, the recursion against its limit, and the wrong formula against both."""

import itertools

import numpy as np
import pytest
import torch
from oracles import records

from shinso.core.errors import UserError
from shinso.theory import sgd_noise
from shinso.theory.sgd_noise import Setup, law, leading, shape, stationary_variance


@pytest.mark.parametrize("b", [1, 2, 3, 5, 6])
def test_all_batches_without_putting_back_have_the_covariance_exactly(b):
    each = torch.randn(6, 2, dtype=torch.float64)
    each = each - each.mean(0)
    S = each.T @ each / 5
    means = torch.stack([each[list(rows)].mean(0) for rows in itertools.combinations(range(6), b)])
    torch.testing.assert_close(means.T @ means / len(means), law(S, b, 6, put_back=False), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("b", [1, 2, 4])
def test_all_batches_with_putting_back_have_the_covariance_and_the_shape_exactly(b):
    each = torch.rand(5, dtype=torch.float64) ** 3
    each = each - each.mean()
    means = torch.stack([each[list(rows)].mean() for rows in itertools.product(range(5), repeat=b)])
    right = law((each @ each / 4)[None, None], b, 5, put_back=True)
    assert float(means.square().mean()) == pytest.approx(float(right), rel=1e-12)
    skew, kurtosis = shape(each)
    assert shape(means) == pytest.approx((skew / b**0.5, kurtosis / b), rel=1e-9)


@pytest.mark.parametrize(("rate", "curvature", "s2", "b"),
                         [(0.1, 1.0, 2.0, 1), (0.5, 3.0, 0.3, 4), (0.01, 10.0, 1.0, 7)])
def test_the_recursion_ends_at_its_limit(rate, curvature, s2, b):
    v = 0.0
    for _ in range(3000):
        v = (1 - rate * curvature) ** 2 * v + rate**2 * s2 / b
    assert v == pytest.approx(stationary_variance(rate, curvature, s2, b), rel=1e-12)


def test_the_usual_formula_is_twice_too_large_for_half_of_the_data():
    rows = records(sgd_noise.build(Setup(sizes=30, draws=2000)))
    row = min(rows, key=lambda row: abs(row["batch_size"] - 100))
    _, S = leading(200, 3)
    assert row["measured"] < 0.7 * float(S.trace()) / row["batch_size"]
    assert all(abs(row["measured"] - row["predicted"]) <= row["within"] for row in rows)
    assert rows[-1]["measured"] < 1e-20


def test_the_leading_directions_hold_the_largest_variances():
    along, S = leading(100, 3)
    assert np.all(np.diff(S.diagonal().numpy()) <= 0)
    torch.testing.assert_close(S, S.diagonal().diag(), rtol=0, atol=1e-12)
    torch.testing.assert_close(along.mean(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_three_digits_are_refused():
    with pytest.raises(UserError, match="digits"):
        sgd_noise.build(Setup(examples=3))
