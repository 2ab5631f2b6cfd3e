"""KL information against SciPy, torch's two argument orders, and torch's Gaussians."""

import numpy as np
import pytest
import torch
from mpmath import mp, mpf
from scipy import integrate, special

from shinso.core.errors import UserError
from shinso.maths.gaussian import Gaussian, MultivariateGaussian
from shinso.maths.kl import gaussian_kl, kl

PAIRS = np.random.default_rng(0).dirichlet(np.full(6, 0.8), (100, 2))


def test_it_is_scipys():
    for p, q in PAIRS:
        assert kl(p, q) == pytest.approx(special.rel_entr(p, q).sum(), rel=1e-12, abs=1e-15)
        assert kl(p, q, base=2) == pytest.approx(special.rel_entr(p, q).sum() / np.log(2), rel=1e-12, abs=1e-15)


def test_torch_takes_the_other_order_and_a_logarithm():
    for p, q in PAIRS:
        a, b = torch.from_numpy(p), torch.from_numpy(q)
        assert kl(p, q) == pytest.approx(float(torch.nn.functional.kl_div(b.log(), a, reduction="sum")), abs=1e-12)


def test_close_laws_keep_their_digits():
    mp.dps = 60
    for size in (1e-3, 1e-6, 1e-9):
        p = np.array([0.25, 0.25, 0.5])
        q = p + size * np.array([1, -1, 0])
        exact = sum(mpf(a) * mp.log(mpf(a) / mpf(b)) - mpf(a) + mpf(b) for a, b in zip(p, q, strict=True))
        assert kl(p, q) == pytest.approx(float(exact), rel=1e-6)


def test_subnormal_masses_bring_no_warning():
    assert np.isfinite(kl([5e-324, 1.0], [1.0, 5e-324])) and kl([1.0, 5e-324], [1.0, 5e-324]) == 0


def test_gaussians_are_torchs():
    rng = np.random.default_rng(1)
    for _ in range(20):
        mu, B = rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 3))
        S = B @ B.transpose(0, 2, 1) + 0.5 * np.eye(3)
        ours = gaussian_kl(*(MultivariateGaussian(m, s) for m, s in zip(mu, S, strict=True)))
        theirs = torch.distributions.kl_divergence(*(torch.distributions.MultivariateNormal(
            torch.from_numpy(m), torch.from_numpy(s)) for m, s in zip(mu, S, strict=True)))
        assert ours == pytest.approx(float(theirs), rel=1e-10)


def test_one_dimension_by_adaptive_quadrature():
    p, q = Gaussian(0.3, 0.8), Gaussian(-0.5, 1.7)
    found = integrate.quad(lambda x: float(p.density(x) * (p.log_density(x) - q.log_density(x))), -12, 12)[0]
    assert gaussian_kl(p, q) == pytest.approx(found, abs=1e-9) and gaussian_kl(p, p) == 0


@pytest.mark.parametrize(("p", "q"), [([0.5, 0.5], [1.0]), ([0.5, 0.5], [0.7, 0.7]), ([-0.5, 1.5], [0.5, 0.5])])
def test_what_are_no_laws_is_refused(p, q):
    with pytest.raises(UserError):
        kl(p, q)


def test_different_dimensions_are_refused():
    with pytest.raises(UserError, match="dimensions"):
        gaussian_kl(Gaussian(0, 1), MultivariateGaussian([0, 0], np.eye(2)))
