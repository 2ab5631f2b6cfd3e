r"""KL information: what it costs to take q for p (Kullback and Leibler 1951).

    KL(p, q) = sum_x p(x) log_b (p(x) / q(x)) = H(p, q) - H(p)                                   (1)
             = sum_x [p log(p / q) - p + q] / log b                                              (2)
    KL(N_0, N_1) = 1/2 [tr(S_1^{-1} S_0) + (m_1 - m_0)^T S_1^{-1} (m_1 - m_0) - d + log(det S_1 / det S_0)]   (3)

Never negative, 0 for equal laws alone, not symmetric, and infinite where q = 0 < p. (2) equals (1) because both laws
sum to 1, but every term of it is at least 0, so rounding cannot make the sum negative; for q near p a term is
p (r - log(1 + r)) with r = (q - p) / p. torch's kl_div takes log q first and p second.
"""

from math import e

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.maths.entropy import cross_entropy, entropy
from shinso.maths.gaussian import Gaussian, MultivariateGaussian
from shinso.maths.inputs import two_masses, unit


def kl(p: ArrayLike, q: ArrayLike, base: float = e) -> float:
    """(2) of two tables of the same shape; inf where q is 0 and p is not."""
    p, q = two_masses("kl", p, q)
    on = p > 0
    a, b = p[on], q[on]
    if (b == 0).any():
        return np.inf
    near = np.abs(b - a) < 0.5 * a
    terms = a * (np.log(a) - np.log(b)) - a + b
    r = (b[near] - a[near]) / a[near]
    terms[near] = a[near] * (r - np.log1p(r))
    return float(terms.sum() + q[~on].sum()) / unit("kl", base)


def gaussian_kl(p: Gaussian | MultivariateGaussian, q: Gaussian | MultivariateGaussian) -> float:
    """(3) in nats; both laws in the same dimension."""
    if not all(isinstance(law, Gaussian | MultivariateGaussian) for law in (p, q)):
        raise UserError("kl", "an argument is no Gaussian law", "give Gaussian or MultivariateGaussian")
    p, q = (MultivariateGaussian([n.mu], [[n.sigma**2]]) if isinstance(n, Gaussian) else n for n in (p, q))
    if len(p.mu) != len(q.mu):
        raise UserError("kl", f"the laws have {len(p.mu)} and {len(q.mu)} dimensions", "give both the same")
    trace = (q.whitened(p.L.T) ** 2).sum()
    far = (q.whitened((q.mu - p.mu)[None]) ** 2).sum()
    determinants = 2 * (np.log(np.diag(q.L)) - np.log(np.diag(p.L))).sum()
    return max(float(trace + far - len(p.mu) + determinants) / 2, 0.0)


def _pairs(number: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([rng.dirichlet(np.full(6, 10.0 ** rng.uniform(-0.5, 1.5)), 2) for _ in range(number)])


def it_is_never_negative() -> Check:
    """Over 2,000 pairs, half of them equal up to a millionth, the smallest KL information is not below 0.

    Source: Gibbs 1902; Kullback and Leibler 1951, lemma 3.1
    """
    rng, least = np.random.default_rng(1), np.inf
    for p, q in _pairs(1000):
        close = p * (1 + 1e-6 * rng.uniform(-1, 1, 6))
        least = min(least, kl(p, q), kl(p, close / close.sum()))
    return at_least(least, 0.0)


def only_equal_laws_have_none() -> Check:
    """KL(p, p) is exactly 0, and between 1,000 different pairs it is at least half the squared L1 distance: the ratio.

    Source: Pinsker 1964; Csiszar 1967
    """
    pairs = _pairs(1000)
    assert all(kl(p, p) == 0 for p, _ in pairs)  # noqa: S101 - the other half of the claim
    return at_least(min(kl(p, q) / (0.5 * np.abs(p - q).sum() ** 2) for p, q in pairs), 1.0)


def it_is_the_difference_of_two_entropies() -> Check:
    """KL(p, q) equals cross entropy minus entropy to 1e-14 over 1,000 pairs.

    Source: equation (1)
    """
    pairs = np.random.default_rng(2).dirichlet(np.full(6, 2.0), (1000, 2))
    return at_most(max(abs(kl(p, q) - cross_entropy(p, q) + entropy(p)) for p, q in pairs), 1e-14)


def it_is_not_symmetric() -> Check:
    """For p = (0.9, 0.1) and q = (0.5, 0.5) the two directions differ by more than 0.1.

    Source: Kullback and Leibler 1951
    """
    return at_least(abs(kl([0.9, 0.1], [0.5, 0.5]) - kl([0.5, 0.5], [0.9, 0.1])), 0.1)


def what_q_excludes_costs_infinitely_much() -> Check:
    """Where q = 0 < p it is infinite; where p = 0 < q it is not: for (1, 0) and (1/2, 1/2) it is log 2, one bit.

    Source: equation (1)
    """
    assert kl([0.5, 0.5], [1, 0]) == np.inf  # noqa: S101 - the other half of the claim
    return exactly(kl([1, 0], [0.5, 0.5], base=2), 1.0)


def gaussians_in_closed_form() -> Check:
    """For 20 pairs of Gaussians (3) meets the integral of p log(p / q) to 1e-10.

    Source: equation (3); the trapezoidal rule over 14 deviations
    """
    rng, worst = np.random.default_rng(3), 0.0
    for _ in range(20):
        p, q = (Gaussian(rng.normal(), rng.uniform(0.5, 2)) for _ in range(2))
        x, h = np.linspace(p.mu - 14 * p.sigma, p.mu + 14 * p.sigma, 4001, retstep=True)
        integral = h * (p.density(x) @ (p.log_density(x) - q.log_density(x)))
        worst = max(worst, abs(gaussian_kl(p, q) - float(integral)))
    return at_most(worst, 1e-10)


CARD = Card(
    name="KL information",
    name_ja="KL情報量(カルバック・ライブラー情報量)",
    paper="Kullback and Leibler 1951, On Information and Sufficiency, doi:10.1214/aoms/1177729694",
    equations=(
        r"\mathrm{KL}(p, q) = \sum_x p(x) \log_b \frac{p(x)}{q(x)} = H(p, q) - H(p)",
        r"\mathrm{KL}(p, q) = \frac{1}{\log b} \sum_x \left[p \log\frac{p}{q} - p + q\right]",
        r"\mathrm{KL}(N_0, N_1) = \frac{1}{2}\left[\mathrm{tr}(S_1^{-1} S_0) + (m_1 - m_0)^T S_1^{-1} (m_1 - m_0)"
        r" - d + \log\frac{\det S_1}{\det S_0}\right]",
    ),
    summary="What it costs, in nats or bits, to take one law for another; never negative, and not symmetric.",
    summary_ja="ある分布を別の分布と取り違える代償を、ナットやビットで測る。負にならず、対称でもない。",
    topics=("maths.kl",),
    facts=(it_is_never_negative, only_equal_laws_have_none, it_is_the_difference_of_two_entropies,
           it_is_not_symmetric, what_q_excludes_costs_infinitely_much, gaussians_in_closed_form),
    notes=("It is infinite where q = 0 < p: the value is inf, not nan and not an error.",
           "torch.nn.functional.kl_div(input, target) takes log q as input and p as target: the other order."),
    notes_ja=("q = 0 < p のところで無限大になる。値は inf であり、nan でもエラーでもない。",
              "torch.nn.functional.kl_div(input, target) は input に log q、target に p を取る。順が逆である。"),
)
