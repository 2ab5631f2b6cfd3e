"""The pieces of the bound against SciPy, torch's distributions and the house's own KL; the bound against new data."""

import numpy as np
import pytest
import torch
from oracles import records
from scipy.optimize import brentq
from torch.distributions import Bernoulli, Normal, kl_divergence

from shinso.core.errors import UserError
from shinso.maths.gaussian import MultivariateGaussian
from shinso.maths.kl import gaussian_kl as house_kl
from shinso.theory import pac_bayes
from shinso.theory.pac_bayes import Guarantee, Setup, answer, binary_kl, complexity, inverse_kl, on_the_grid


@pytest.mark.parametrize(("q", "c"), [(0.0, 0.01), (0.05, 0.1), (0.3, 0.001), (0.7, 0.5), (0.9, 0.2)])
def test_the_inverse_is_the_upper_root(q, c):
    found = inverse_kl(q, c)
    expected = brentq(lambda p: float(binary_kl(q, p)) - c, q + 1e-12, 1 - 1e-15, xtol=1e-14)
    assert found == pytest.approx(expected, abs=1e-10)
    assert float(binary_kl(q, min(found + 1e-6, 1 - 1e-12))) > c


def test_nothing_is_known_of_a_coin_that_always_fails():
    assert inverse_kl(1.0, 0.1) == 1.0
    assert inverse_kl(0.0, 0.5) == pytest.approx(1 - np.exp(-0.5), rel=1e-12)


def test_coins_and_gaussians_have_the_kl_of_torch():
    q, p = torch.tensor(0.2), torch.tensor(0.6)
    assert float(binary_kl(0.2, 0.6)) == pytest.approx(float(kl_divergence(Bernoulli(q), Bernoulli(p))), rel=1e-6)
    w, w0 = torch.randn(2, 7, dtype=torch.float64)
    s = 0.1 + torch.rand(7, dtype=torch.float64)
    expected = kl_divergence(Normal(w, s), Normal(w0, torch.full_like(w, 0.8**0.5))).sum()
    found = pac_bayes.gaussian_kl(w, s, w0, 0.8)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    laws = MultivariateGaussian(w, torch.diag(s**2)), MultivariateGaussian(w0, 0.8 * np.eye(7))
    assert float(found) == pytest.approx(house_kl(*laws), rel=1e-10)


def test_the_grid_is_next_to_what_was_asked_and_begins_at_one():
    for v in (0.001, 0.5, 3.0):
        found, j = on_the_grid(v)
        assert abs(np.log(found / v)) <= 1 / (2 * pac_bayes.FINE) + 1e-12
        assert found == pytest.approx(pac_bayes.LARGEST * np.exp(-j / pac_bayes.FINE), rel=1e-12)
    assert on_the_grid(50.0)[1] == 1


def test_the_choice_of_the_prior_is_paid_for():
    w, w0, s = torch.ones(5), torch.zeros(5), torch.full((5,), 0.5)
    c, kl = complexity(w, s, w0, 100, 0.05)
    assert c > (kl + np.log(2 * 100**0.5 / 0.05)) / 100


def test_the_answer_is_that_of_torch_layers():
    theta, x = torch.randn(3, 4 * 6 + 1, dtype=torch.float64), torch.randn(9, 2, dtype=torch.float64)
    layers = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 1)).double()
    for one, found in zip(theta, answer(theta, x), strict=True):
        torch.nn.utils.vector_to_parameters(one, layers.parameters())
        torch.testing.assert_close(found, layers(x)[:, 0], rtol=1e-12, atol=1e-12)


def test_random_labels_get_no_guarantee_below_a_half():
    rows = records(pac_bayes.build(Setup(examples=400, hidden=6, flip=0.5, samples=100, steps=5, inner=40)))
    assert all(row["error_bound"] > 0.5 and row["error_bound"] >= row["error"] for row in rows)


def test_the_guarantee_improves_and_is_never_above_pinsker():
    rows = records(Guarantee(Setup(examples=600, hidden=6, samples=100, steps=6, inner=40)))
    assert rows[-1]["error_bound"] < rows[0]["error_bound"] - 0.05
    assert all(row["error"] <= row["error_bound"] <= row["pinsker"] for row in rows)


def test_a_certain_failure_is_refused():
    with pytest.raises(UserError, match="promises nothing"):
        pac_bayes.build(Setup(delta=1.0))
