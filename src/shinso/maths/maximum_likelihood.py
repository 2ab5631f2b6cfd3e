r"""Maximum likelihood: the parameters under which what was seen is most probable (Fisher 1922).

    theta^ = argmax_theta sum_i log p(x_i | theta)                                     (1)
    Gaussian:      mu^ = mean x_i,   sigma^2^ = mean (x_i - mu^)^2                     (2)
    multinoulli:   p^_k = n_k / n                                                      (3)

(2) divides by n, not n - 1: its mean is (n - 1)/n sigma^2, biased (4). (3) is what minimising the cross entropy of
one-hot data gives: the relative frequencies, and so a classifier learns probabilities.
"""

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.entropy import cross_entropy
from shinso.maths.gaussian import Gaussian
from shinso.maths.inputs import numbers
from shinso.maths.multinoulli import Multinoulli

WHERE = "maximum likelihood"


def fit_gaussian(x: ArrayLike) -> Gaussian:
    """(2) of values (n,); UserError where all are equal, because then the likelihood has no maximum."""
    x = numbers(WHERE, "x", x, 1)
    if len(x) == 0:
        raise UserError(WHERE, "x is empty", "give at least two different values")
    deviation = float(np.sqrt(((x - x.mean()) ** 2).mean()))
    if deviation == 0:
        raise UserError(WHERE, "all values are equal", "give two different values: a deviation of 0 has no density")
    return Gaussian(float(x.mean()), deviation)


def fit_multinoulli(counts: ArrayLike) -> Multinoulli:
    """(3) from how often each outcome came (k,)."""
    n = numbers(WHERE, "counts", counts, 1)
    if len(n) == 0 or n.min() < 0 or n.sum() == 0:
        raise UserError(WHERE, "the counts are empty, negative or all 0", "give counts with a sum above 0")
    return Multinoulli(n / n.sum())


def no_other_gaussian_is_likelier() -> Check:
    """Of 5,000 other Gaussians, near and far, none gives 50 values a higher mean log density: the smallest lead.

    Source: Fisher 1922; equation (2)
    """
    rng = np.random.default_rng(0)
    x = rng.gamma(2.0, size=50)
    best = fit_gaussian(x)
    most, least = float(best.log_density(x).mean()), np.inf
    for size in 10.0 ** rng.uniform(-4, 0, 5000):
        other = Gaussian(best.mu + size * rng.normal(), best.sigma * np.exp(size * rng.normal()))
        least = min(least, most - float(other.log_density(x).mean()))
    return at_least(least, 0.0)


def the_variance_is_the_biased_one() -> Check:
    """Over all 1,296 samples of 4 throws of a die the mean of (2) is 3/4 of the die's variance 35/12, to 1e-12.

    Source: equation (4): (n - 1)/n, by enumeration
    """
    throws = np.stack(np.meshgrid(*[np.arange(1.0, 7)] * 4), -1).reshape(-1, 4)
    fitted = [fit_gaussian(x).variance for x in throws if np.ptp(x) > 0]
    return about(float(np.sum(fitted)) / 1296, 0.75 * 35 / 12, 1e-12)


def cross_entropy_finds_the_frequencies() -> Check:
    """Gradient descent on the mean cross entropy of one-hot data ends at the relative frequencies, to 1e-10.

    Source: equation (3); the gradient for the logits is softmax minus frequencies
    """
    from scipy.special import softmax

    counts = np.array([3.0, 10, 1, 6])
    seen, logits = np.repeat(np.eye(4), counts.astype(int), 0), np.zeros(4)
    for _ in range(1500):
        logits -= (softmax(logits) - seen).mean(0)
    return at_most(float(np.abs(softmax(logits) - fit_multinoulli(counts).p).max()), 1e-10)


def no_other_law_is_likelier() -> Check:
    """Cross entropy against the frequencies is smallest at the frequencies: the smallest lead over 5,000 other laws.

    Source: Gibbs 1902
    """
    best = fit_multinoulli([3, 10, 1, 6]).p
    others = np.random.default_rng(1).dirichlet(20 * best + 0.5, 5000)
    return at_least(min(cross_entropy(best, q) for q in others) - cross_entropy(best, best), 0.0)


CARD = Card(
    name="Maximum likelihood",
    name_ja="最尤推定",
    paper="Fisher 1922, On the Mathematical Foundations of Theoretical Statistics, doi:10.1098/rsta.1922.0009",
    equations=(r"\hat\theta = \mathrm{argmax}_\theta \sum_i \log p(x_i \mid \theta)",
               r"\hat\mu = \frac{1}{n}\sum_i x_i,\quad \hat\sigma^2 = \frac{1}{n}\sum_i (x_i - \hat\mu)^2",
               r"\hat p_k = n_k / n", r"E[\hat\sigma^2] = \frac{n-1}{n}\,\sigma^2"),
    summary="The parameters under which the data are most probable; for one-hot data, cross entropy's minimum.",
    summary_ja="データがもっとも起こりやすくなるパラメータ。ワンホットのデータでは交差エントロピーの最小点。",
    topics=("maths.maximum-likelihood",),
    facts=(no_other_gaussian_is_likelier, the_variance_is_the_biased_one, cross_entropy_finds_the_frequencies,
           no_other_law_is_likelier),
)
