"""Both Gaussians against torch, SciPy and adaptive quadrature."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from shinso.core.errors import UserError
from shinso.maths.gaussian import Gaussian, MultivariateGaussian


@pytest.mark.parametrize(("mu", "sigma"), [(0, 1), (-2, 0.3), (5, 7)])
def test_log_density_is_torchs(mu, sigma):
    x = np.linspace(-30, 30, 201)
    theirs = torch.distributions.Normal(torch.tensor(float(mu), dtype=torch.float64), float(sigma))
    ours = Gaussian(mu, sigma).log_density(x)
    assert np.allclose(ours, theirs.log_prob(torch.from_numpy(x)).numpy(), rtol=1e-13, atol=1e-13)


def test_quadrature_gives_the_moments():
    law = Gaussian(1.5, 0.7)
    for power, expected in ((0, 1.0), (1, law.mean), (2, law.variance + law.mean**2)):
        found = integrate.quad(lambda x, k=power: x**k * float(law.density(x)), -8, 11, epsabs=1e-12)[0]
        assert found == pytest.approx(expected, abs=1e-10)


def test_several_dimensions_are_torchs_and_scipys():
    rng = np.random.default_rng(0)
    B = rng.normal(size=(4, 4))
    mu, S, x = rng.normal(size=4), B @ B.T + np.eye(4), rng.normal(size=(3, 5, 4))
    ours = MultivariateGaussian(mu, S).log_density(x)
    theirs = torch.distributions.MultivariateNormal(torch.from_numpy(mu), torch.from_numpy(S))
    assert np.allclose(ours, theirs.log_prob(torch.from_numpy(x)).numpy(), atol=1e-12)
    assert np.allclose(ours, stats.multivariate_normal(mu, S).logpdf(x), atol=1e-12)


def test_samples_are_gaussian():
    x = Gaussian(2, 3).sample(np.random.default_rng(0), 20_000)
    assert stats.kstest(x, stats.norm(2, 3).cdf).pvalue > 1e-4


@pytest.mark.parametrize("sigma", [0, -1, np.nan, np.inf])
def test_a_deviation_is_above_zero(sigma):
    with pytest.raises(UserError):
        Gaussian(0, sigma)


@pytest.mark.parametrize(("mu", "S", "said"), [
    ([0, 0], [[1, 2], [2, 1]], "positive"), ([0, 0], [[1, 0.5], [0, 1]], "symmetric"), ([0], np.eye(2), "shape"),
    ([0, 0], [[1, 1], [1, 1]], "positive"),
])  # fmt: skip
def test_what_is_no_covariance_is_refused(mu, S, said):
    with pytest.raises(UserError, match=said):
        MultivariateGaussian(mu, S)
