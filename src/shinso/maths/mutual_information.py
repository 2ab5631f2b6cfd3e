r"""Mutual information: what one variable tells about another (Shannon 1948).

    I(X; Y) = KL(p(x, y), p(x) p(y)) = H(X) + H(Y) - H(X, Y)                           (1)
    I(X; Y) = -1/2 log(1 - rho^2)   for a Gaussian pair with correlation rho           (2)
    I ~ psi(k) + psi(n) - mean[psi(n_x + 1) + psi(n_y + 1)]                            (3)

(3) counts neighbours (Kraskov, Stoegbauer, Grassberger 2004): n_x points lie nearer in x alone than the k-th neighbour
in both. Binning counts points in cells. What passes through a second channel can only lose: I(X; Z) <= I(X; Y). The
surprise: for a deterministic map of a continuous variable I is infinite, and any binning gives about the log of its
own number of bins: information planes of trained networks show the bins.
"""

from math import e, log

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.entropy import entropy
from shinso.maths.inputs import count, masses, numbers, unit
from shinso.maths.kl import kl

WHERE = "mutual information"


def mutual_information(joint: ArrayLike, base: float = e) -> float:
    """(1), left, of a joint table (x, y)."""
    table = masses(WHERE, "joint", joint, 2)
    table = table / table.sum()
    return kl(table, np.outer(table.sum(1), table.sum(0)), base)


def of_gaussians(correlation: float, base: float = e) -> float:
    """(2); inf at a correlation of 1 or -1."""
    rho = float(numbers(WHERE, "correlation", correlation, 0))
    if abs(rho) > 1:
        raise UserError(WHERE, f"{rho:g} is no correlation", "give a number from -1 to 1")
    return np.inf if abs(rho) == 1 else -0.5 * (np.log1p(-rho) + np.log1p(rho)) / unit(WHERE, base)


def binned(x: ArrayLike, y: ArrayLike, bins: int, base: float = e) -> float:
    """(1) of the table of counts in `bins` x `bins` cells of equal width over the samples (n,); biased upwards."""
    x, y = _paired(x, y)
    counts = np.histogram2d(x, y, bins=count(WHERE, "bins", bins, 1))[0]
    return mutual_information(counts / len(x), base)


def nearest_neighbours(x: ArrayLike, y: ArrayLike, k: int = 3, base: float = e) -> float:
    """(3) from samples (n,) without ties, n > k; an estimate, so a little below 0 is possible."""
    from scipy.spatial import KDTree
    from scipy.special import digamma

    x, y = _paired(x, y)
    if len(np.unique(x)) < len(x) or len(np.unique(y)) < len(y):
        raise UserError(WHERE, "a value stands there twice", "use binned, or a table for discrete variables")
    if count(WHERE, "k", k, 1) >= len(x):
        raise UserError(WHERE, f"{len(x)} points do not have {k} neighbours", "give more points or a smaller k")
    scaled = x / x.std(), y / y.std()
    both = np.stack(scaled, -1)
    radius = KDTree(both).query(both, k + 1, p=np.inf)[0][:, -1]
    near = sum(digamma(_nearer(v, radius) + 1) for v in scaled)
    return float(digamma(k) + digamma(len(both)) - np.mean(near)) / unit(WHERE, base)


def _nearer(v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """How many other values lie strictly nearer than the radius."""
    from scipy.spatial import KDTree

    points = v[:, None]
    return KDTree(points).query_ball_point(points, np.nextafter(radius, 0), return_length=True) - 1


def _paired(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = numbers(WHERE, "x", x, 1), numbers(WHERE, "y", y, 1)
    if len(a) != len(b) or len(a) < 2:
        raise UserError(WHERE, f"there are {len(a)} and {len(b)} values", "give two or more pairs")
    return a, b


def _gaussian_pair(rho: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x, z = np.random.default_rng(seed).standard_normal((2, n))
    return x, rho * x + (1 - rho**2) ** 0.5 * z


def three_forms_agree() -> Check:
    """KL from independence equals H(X) + H(Y) - H(X, Y) to 1e-14 on 500 random tables.

    Source: equation (1)
    """
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(500):
        joint = rng.dirichlet(np.ones(12)).reshape(3, 4)
        entropies = entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint)
        worst = max(worst, abs(mutual_information(joint) - entropies))
    return at_most(worst, 1e-14)


def processing_only_loses() -> Check:
    """On 500 random Markov chains X, Y, Z the information I(X; Z) never passes I(X; Y): the largest excess.

    Source: Cover and Thomas 2006, theorem 2.8.1
    """
    rng, worst = np.random.default_rng(2), -np.inf
    for _ in range(500):
        joint = rng.dirichlet(np.ones(12)).reshape(3, 4)
        worst = max(worst, mutual_information(joint @ rng.dirichlet(np.ones(5), 4)) - mutual_information(joint))
    return at_most(worst, 1e-14)


def neighbours_find_the_gaussians_value() -> Check:
    """From 2,000 points, k = 3, at correlations 0, 0.5 and 0.9, estimate (3) is within 0.06 nats of (2).

    Source: Kraskov, Stoegbauer, Grassberger 2004, figure 4: deviations of some hundredths of a nat
    """
    off = [abs(nearest_neighbours(*_gaussian_pair(rho, 2000)) - of_gaussians(rho)) for rho in (0.0, 0.5, 0.9)]
    return at_most(max(off), 0.06)


def bins_find_it_too() -> Check:
    """From 200,000 points in 40 x 40 cells at correlation 0.5 the estimate is within 0.02 nats of (2).

    Source: Moddemeijer 1989: the bias is about (bins - 1)^2 / (2 n) upwards
    """
    return about(binned(*_gaussian_pair(0.5, 200_000), 40), of_gaussians(0.5), 0.02)


def a_deterministic_map_shows_the_bins() -> Check:
    """For y = x^3 doubling the bins from 16 to 256 raises the estimate each time, in all by at least 1 nat.

    Source: I is infinite; Saxe et al. 2018
    """
    x = np.random.default_rng(3).uniform(-1, 1, 50_000)
    values = [binned(x, x**3, bins) for bins in (16, 32, 64, 128, 256)]
    return at_least(values[-1] - values[0] if np.all(np.diff(values) > 0) else -np.inf, 1.0)


def a_copy_tells_everything() -> Check:
    """I(X; X) is H(X), for the uniform law on 8 values 3 bits.

    Source: equation (1)
    """
    return about(mutual_information(np.eye(8) / 8, base=2), log(8, 2), 1e-14)


CARD = Card(
    name="Mutual information",
    name_ja="相互情報量",
    paper="Shannon 1948; Kraskov, Stoegbauer, Grassberger 2004, doi:10.1103/PhysRevE.69.066138; Tishby et al. 2000",
    equations=(r"I(X; Y) = \mathrm{KL}(p(x, y), p(x)\,p(y)) = H(X) + H(Y) - H(X, Y)",
               r"I(X; Y) = -\frac{1}{2}\log(1 - \rho^2)",
               r"I \approx \psi(k) + \psi(n) - \frac{1}{n}\sum_i [\psi(n_{x,i} + 1) + \psi(n_{y,i} + 1)]"),
    summary="What one variable tells about another: exact on tables, estimated from samples by bins or neighbours.",
    summary_ja="ある変数が別の変数について教える量。表では厳密に、標本からは区間分割や近傍で推定する。",
    topics=("maths.mutual-information",),
    facts=(three_forms_agree, processing_only_loses, neighbours_find_the_gaussians_value, bins_find_it_too,
           a_deterministic_map_shows_the_bins, a_copy_tells_everything),
    notes=("For continuous variables and a deterministic network the true value is infinite: an estimate shows the"
           " binning as much as the network.",),
    notes_ja=("連続変数と決定的なネットワークでは真の値は無限大であり、推定値はネットワークと同じくらい区間の分け方を映す。",),
)
