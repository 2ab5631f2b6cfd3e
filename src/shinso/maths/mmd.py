r"""Maximum mean discrepancy: the distance between mean embeddings (Gretton et al. 2012).

    MMD(p, q) = sup_{|f| <= 1} E_p f - E_q f = |mu_p - mu_q|   in the space of a kernel k              (1)
    MMD_b^2 = mean_ij k(x_i, x_j) + mean_ij k(y_i, y_j) - 2 mean_ij k(x_i, y_j)                        (2)
    MMD_u^2 = the same without the diagonals of the first two means                                    (3)

(2) is biased, at least 0, and has the root MMD_b. (3) has the right mean and is sometimes negative, so that it has no
root: what is squared here says so in its name. A Gaussian kernel exp(-|x - y|^2 / (2 width^2)) sees every difference,
but at a width far from the differences' size only faintly; the linear kernel x . y sees the means alone.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers, positive, two_masses

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(n, d) and (m, d) -> (n, m)"""


def gaussian_kernel(width: float) -> Kernel:
    """exp(-|x - y|^2 / (2 width^2))."""
    positive("mmd", "width", width)

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.exp(-((x[:, None] - y) ** 2).sum(-1) / (2 * width**2))

    return kernel


def linear_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x . y."""
    return x @ y.T


def median_width(x: ArrayLike, y: ArrayLike) -> float:
    """The median distance between two different points of both samples: the usual first guess of a width."""
    both = np.concatenate(_samples(x, y))
    far = np.sqrt(((both[:, None] - both) ** 2).sum(-1))[np.triu_indices(len(both), 1)]
    return positive("mmd", "the median distance", float(np.median(far)))


def squared_mmd_biased(x: ArrayLike, y: ArrayLike, kernel: Kernel) -> float:
    """(2), MMD_b squared, of samples (n, d) and (m, d); numbers (n,) are taken as (n, 1)."""
    x, y = _samples(x, y)
    return max(float(kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()), 0.0)


def squared_mmd_unbiased(x: ArrayLike, y: ArrayLike, kernel: Kernel) -> float:
    """(3), an unbiased estimate of MMD squared; it can be negative. Two points at least on each side."""
    x, y = _samples(x, y)
    if min(len(x), len(y)) < 2:
        raise UserError("mmd", "the unbiased estimate needs two points of each sample", "give more points")
    return float(_off_diagonal_mean(kernel(x, x)) + _off_diagonal_mean(kernel(y, y)) - 2 * kernel(x, y).mean())


def mmd(x: ArrayLike, y: ArrayLike, kernel: Kernel) -> float:
    """MMD_b, the root of (2): not squared."""
    return squared_mmd_biased(x, y, kernel) ** 0.5


def mmd_of_laws(p: ArrayLike, q: ArrayLike, gram: ArrayLike) -> float:
    """(1), not squared, of two laws on the same outcomes with the kernel's values `gram` (n, n) between them."""
    p, q = two_masses("mmd", p, q)
    K = numbers("mmd", "gram", gram, 2)
    if p.ndim != 1 or K.shape != (len(p), len(p)):
        raise UserError("mmd", f"the kernel {K.shape} is not for outcomes {p.shape}", "give (n, n) and (n,)")
    return max(float((p - q) @ K @ (p - q)), 0.0) ** 0.5


def _samples(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = (numbers("mmd", name, values) for name, values in (("x", x), ("y", y)))
    a, b = (v[:, None] if v.ndim == 1 else v for v in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or 0 in (*a.shape, *b.shape):
        raise UserError("mmd", f"the samples have the shapes {a.shape} and {b.shape}", "give (n, d) and (m, d)")
    return a, b


def _off_diagonal_mean(K: np.ndarray) -> float:
    return float((K.sum() - np.trace(K)) / (len(K) * (len(K) - 1)))


def _polynomial(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T + 1) ** 2


def _embedded(x: np.ndarray) -> np.ndarray:
    """The features whose dot product is (x . y + 1)^2 for x in the plane."""
    a, b = x.T
    return np.stack([a * a, b * b, 2**0.5 * a * b, 2**0.5 * a, 2**0.5 * b, np.ones_like(a)], -1)


def it_is_the_distance_of_mean_embeddings() -> Check:
    """For the kernel (x . y + 1)^2 with its six features (2) is the squared distance of their means, to 1e-12.

    Source: Gretton et al. 2012, lemma 4
    """
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(50):
        x, y = rng.normal(size=(20, 2)), rng.normal(size=(15, 2)) + 0.5
        distance = ((_embedded(x).mean(0) - _embedded(y).mean(0)) ** 2).sum()
        worst = max(worst, abs(squared_mmd_biased(x, y, _polynomial) - float(distance)))
    return at_most(worst, 1e-12)


def the_linear_kernel_sees_the_means() -> Check:
    """With x . y MMD is the distance of the sample means, to 1e-12.

    Source: Gretton et al. 2012; equation (1)
    """
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 1
    return at_most(abs(mmd(x, y, linear_kernel) - float(np.linalg.norm(x.mean(0) - y.mean(0)))), 1e-12)


def the_unbiased_estimate_is_right_in_the_mean() -> Check:
    """Over 1,000 pairs of equal laws the mean of (3) is 0 within 4 standard errors: the most of them used.

    Source: Gretton et al. 2012, lemma 6
    """
    values = _under_equality(squared_mmd_unbiased)
    return at_most(float(abs(values.mean()) / (values.std(ddof=1) / len(values) ** 0.5)), 4.0)


def the_biased_estimate_is_not() -> Check:
    """Over the same pairs the mean of (2) is 20 standard errors or more above 0.

    Source: the diagonal: its mean is (E k(x, x) - E k(x, y)) (1/n + 1/m)
    """
    values = _under_equality(squared_mmd_biased)
    return at_least(float(values.mean() / (values.std(ddof=1) / len(values) ** 0.5)), 20.0)


def an_unbiased_estimate_has_no_root() -> Check:
    """Under equal laws more than a third of the unbiased estimates are negative.

    Source: its mean is 0 and it varies
    """
    return at_least(float((_under_equality(squared_mmd_unbiased) < 0).mean()), 1 / 3)


def _under_equality(estimate: Callable[[ArrayLike, ArrayLike, Kernel], float]) -> np.ndarray:
    rng, kernel = np.random.default_rng(2), gaussian_kernel(1.0)
    return np.array([estimate(rng.normal(size=12), rng.normal(size=10), kernel) for _ in range(1000)])


def samples_come_near_the_gaussians_own_value() -> Check:
    """For N(0, 1) and N(1, 1), width 1, the mean of 500 estimates (3) meets the closed form within 4 standard errors.

    Source: E k = sqrt(w^2 / (w^2 + 2)) exp(-d^2 / (2 (w^2 + 2))), a Gaussian integral
    """
    rng = np.random.default_rng(3)
    kernel = gaussian_kernel(1.0)
    found = np.array([squared_mmd_unbiased(rng.normal(size=20), rng.normal(size=20) + 1, kernel) for _ in range(500)])
    exact = 2 * (1 / 3) ** 0.5 * (1 - np.exp(-1 / 6))
    return at_most(float(abs(found.mean() - exact) / (found.std(ddof=1) / 500**0.5)), 4.0)


CARD = Card(
    name="Maximum mean discrepancy",
    name_ja="最大平均乖離(MMD)",
    paper="Gretton, Borgwardt, Rasch, Schoelkopf, Smola 2012, A Kernel Two-Sample Test, JMLR 13",
    equations=(r"\mathrm{MMD}(p, q) = \sup_{\|f\| \leq 1} (E_p f - E_q f) = \|\mu_p - \mu_q\|",
               r"\mathrm{MMD}_b^2 = \frac{1}{n^2}\sum_{ij} k(x_i, x_j) + \frac{1}{m^2}\sum_{ij} k(y_i, y_j)"
               r" - \frac{2}{nm}\sum_{ij} k(x_i, y_j)",
               r"\mathrm{MMD}_u^2 = \frac{1}{n(n-1)}\sum_{i \neq j} k(x_i, x_j)"
               r" + \frac{1}{m(m-1)}\sum_{i \neq j} k(y_i, y_j) - \frac{2}{nm}\sum_{ij} k(x_i, y_j)"),
    summary="How far two samples are apart in a kernel's eyes, biased or not, squared or not, as the name says.",
    summary_ja="カーネルの目で見た二つの標本の隔たり。偏りの有無と、二乗か否かは名前で分かる。",
    topics=("maths.mmd",),
    facts=(it_is_the_distance_of_mean_embeddings, the_linear_kernel_sees_the_means,
           the_unbiased_estimate_is_right_in_the_mean, the_biased_estimate_is_not, an_unbiased_estimate_has_no_root,
           samples_come_near_the_gaussians_own_value),
    notes=("Texts give now MMD, now its square: here every function that returns the square has it in its name.",),
    notes_ja=("文献によって MMD そのものと二乗が混在する。ここでは二乗を返す関数は名前に squared を持つ。",),
)
