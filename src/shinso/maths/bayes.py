r"""Bayes' theorem: from how well each hypothesis explains what was seen to how much to believe it (1763).

    P(H | E) = P(H) P(E | H) / P(E),   P(E) = sum_h P(h) P(E | h)                      (1)
    log P(h | E) = log P(h) + log P(E | h) - log sum_h' exp(log P(h') + log P(E | h'))   (2)

(2) is the form for long evidence: after ten thousand observations every P(E | h) is 0 in float64, and (1) is 0/0.
"""

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_most
from shinso.core.errors import UserError
from shinso.maths.conditional import given, marginals
from shinso.maths.inputs import masses, numbers


def posterior(prior: ArrayLike, likelihood: ArrayLike) -> np.ndarray:
    """(1): P(H | E) (h,) from P(H) (h,) and P(E | H) (h,); UserError where the evidence is impossible."""
    prior, likelihood = masses("bayes", "prior", prior, 1), numbers("bayes", "likelihood", likelihood, 1)
    if prior.shape != likelihood.shape:
        raise UserError("bayes", f"{len(prior)} hypotheses have {len(likelihood)} likelihoods", "give one for each")
    if likelihood.min() < 0:
        raise UserError("bayes", f"the likelihood {likelihood.min():g} is negative", "give 0 or more")
    joint = prior * likelihood
    if joint.sum() == 0:
        raise UserError("bayes", "the evidence has the probability 0 under every hypothesis that the prior allows",
                        "give log likelihoods to log_posterior if they only became too small")
    return joint / joint.sum()


def log_posterior(log_prior: ArrayLike, log_likelihood: ArrayLike) -> np.ndarray:
    """(2): log P(H | E) (h,), for evidence of any length; -inf is allowed for what is excluded."""
    try:
        prior, likelihood = np.asarray(log_prior), np.asarray(log_likelihood)
    except (ValueError, RuntimeError):
        raise UserError("bayes", "the logarithms are no vectors", "give two vectors (h,)") from None
    if prior.ndim != 1 or prior.shape != likelihood.shape or prior.size == 0:
        raise UserError("bayes", f"the shapes are {prior.shape} and {likelihood.shape}", "give two vectors (h,)")
    if not (prior.dtype.kind in "iuf" and likelihood.dtype.kind in "iuf" and (prior + likelihood < np.inf).all()):
        raise UserError("bayes", "a logarithm is nan, infinite or no number", "give real numbers or -inf")
    joint = np.asarray(prior + likelihood, dtype=np.float64)
    if joint.max() == -np.inf:
        raise UserError("bayes", "every hypothesis is excluded", "give a prior that allows what was seen")
    from scipy.special import logsumexp

    return joint - logsumexp(joint)


def _cases(number: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Prior (3,), and two tables P(observation | hypothesis) (3, 4) and (3, 5)."""
    rng = np.random.default_rng(0)
    return [(rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(5), 3))
            for _ in range(number)]


def bayes_is_conditioning() -> Check:
    """The posterior equals the joint table conditioned on the observation, to 1e-15 over 500 random cases.

    Source: Bayes 1763; Laplace 1774
    """
    worst = 0.0
    for prior, likelihood, _ in _cases(500):
        direct = given(prior[:, None] * likelihood, "B")
        worst = max(worst, *(np.abs(posterior(prior, likelihood[:, e]) - direct[:, e]).max() for e in range(4)))
    return at_most(float(worst), 1e-15)


def two_updates_are_one() -> Check:
    """Two observations in sequence, in either order, give the posterior of both at once, to 1e-15 in 500 cases.

    Source: Laplace 1774; conditional independence given the hypothesis
    """
    worst = 0.0
    for prior, first, second in _cases(500):
        one, two = first[:, 0], second[:, 0]
        both = posterior(prior, one * two)
        worst = max(worst, np.abs(posterior(posterior(prior, one), two) - both).max(),
                    np.abs(posterior(posterior(prior, two), one) - both).max())
    return at_most(float(worst), 1e-15)


def rare_things_stay_rare() -> Check:
    """A test right in 99 of 100 cases, positive, for a condition of 1 in 1,000: the posterior is 11/122.

    Source: 0.001 * 0.99 / (0.001 * 0.99 + 0.999 * 0.01) = 99/1098
    """
    joint = np.array([0.001, 0.999])[:, None] * np.array([[0.99, 0.01], [0.01, 0.99]])
    assert abs(marginals(joint)[1][0] - 0.01098) < 1e-15  # noqa: S101 - the evidence P(E)
    return about(float(posterior([0.001, 0.999], [0.99, 0.01])[0]), 11 / 122, 1e-15)


def long_evidence_does_not_vanish() -> Check:
    """After 10,000 tosses with 5,100 heads the log odds of 0.51 against 0.5 are right to 1e-10.

    Source: the binomial likelihood ratio in closed form
    """
    heads, tails = 5100, 4900
    log_likelihood = heads * np.log([0.5, 0.51]) + tails * np.log([0.5, 0.49])
    assert (np.exp(log_likelihood) == 0).all()  # noqa: S101 - (1) would be 0/0
    fair, biased = log_posterior(np.log([0.5, 0.5]), log_likelihood)
    assert abs(np.logaddexp(fair, biased)) < 1e-12  # noqa: S101 - together they are certain
    return about(float(biased - fair), heads * np.log1p(0.02) + tails * np.log1p(-0.02), 1e-10)


CARD = Card(
    name="Bayes' theorem",
    name_ja="ベイズの定理",
    paper="Bayes 1763, An Essay towards solving a Problem in the Doctrine of Chances; Laplace 1774",
    equations=(r"P(H \mid E) = \frac{P(H)\,P(E \mid H)}{P(E)},\quad P(E) = \sum_h P(h)\,P(E \mid h)",
               r"\log P(h \mid E) = \log P(h) + \log P(E \mid h) -"
               r" \log \sum_{h'} e^{\log P(h') + \log P(E \mid h')}"),
    summary="Turns how well each hypothesis explains the evidence into how much to believe it, also for long evidence.",
    summary_ja="各仮説が証拠をどれだけ説明するかから、それをどれだけ信じるかへ。長い証拠でも計算できる。",
    topics=("maths.bayes",),
    facts=(bayes_is_conditioning, two_updates_are_one, rare_things_stay_rare, long_evidence_does_not_vanish),
)
