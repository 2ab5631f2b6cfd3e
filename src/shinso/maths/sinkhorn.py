r"""Sinkhorn's algorithm: optimal transport with a little entropy, by scaling rows and columns in turn (Cuturi 2013).

    min_P sum_ij P_ij c_ij + eps KL(P, p q^T),   P 1 = p,  P^T 1 = q                   (1)
    P_ij = p_i q_j exp((f_i + g_j - c_ij) / eps)                                       (2)
    f_i = -eps log sum_j q_j exp((g_j - c_ij) / eps),   g_j likewise                   (3)

The scaling vectors exp(f / eps) leave the finite numbers for small eps; here f and g themselves are kept, and eps
comes down from the size of the costs in halves, so that any eps works. The answer proves itself: the plan, rounded to
the exact sums, costs at least the unregularised minimum W, and f with its best partner is worth at most W (4).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, at_least, at_most
from shinso.maths.inputs import count, positive
from shinso.maths.wasserstein import on_the_line, problem, transport

WHERE = "sinkhorn"


@dataclass(frozen=True)
class Sinkhorn:
    """What the iterations left: prices, the plan (2), how far its sums are off, and bounds on the unregularised W."""

    plan: np.ndarray
    f: np.ndarray
    g: np.ndarray
    marginal_error: float
    """sum |P 1 - p| + sum |P^T 1 - q| of the plan (2)"""
    upper: float
    """cost of the plan rounded to the exact sums: never below W"""
    lower: float
    """worth of f and its best partner: never above W"""
    eps: float
    """how far the entropy's weight came down: the one asked for, unless `most` ended it before"""
    steps: int

    @property
    def gap(self) -> float:
        """(4): how far `upper` can be above W at most."""
        return self.upper - self.lower


def sinkhorn(cost: ArrayLike, p: ArrayLike, q: ArrayLike, eps: float, *, tolerance: float = 1e-9,
             most: int = 10_000) -> Sinkhorn:
    """(1) for costs (n, m): steps (3) until the sums are off by at most `tolerance`, or `most` steps."""
    from scipy.special import logsumexp

    C, p, q = problem(WHERE, cost, p, q)
    eps, tolerance = positive(WHERE, "eps", eps), positive(WHERE, "tolerance", tolerance)
    most, steps = count(WHERE, "most", most, 1), 0
    with np.errstate(divide="ignore"):
        log_p, log_q = np.log(p)[:, None], np.log(q)
    f, g, error = np.zeros(len(p)), np.zeros(len(q)), np.inf
    now = reached = max(eps, float(np.ptp(C)))
    while steps < most and (error > tolerance or reached > eps):
        reached = now
        f = -now * np.asarray(logsumexp((g - C) / now + log_q, 1))  # (3)
        g = -now * np.asarray(logsumexp((f[:, None] - C) / now + log_p, 0))
        steps += 1
        if reached > eps:
            now = max(eps, now / 2) if steps % 5 == 0 else now
        elif steps % 5 == 0 or steps == most:
            error = _off(_plan(C, f, g, log_p + log_q, eps), p, q)
    plan = _plan(C, f, g, log_p + log_q, reached)
    partner = (C - f[:, None]).min(0)
    return Sinkhorn(plan, f, g, _off(plan, p, q), float((rounded(plan, p, q) * C).sum()),
                    float(f @ p + partner @ q), reached, steps)


def rounded(plan: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The nearby plan with exactly the sums p and q (Altschuler, Weed, Rigollet 2017, algorithm 2)."""
    rows = plan.sum(1)
    plan = plan * np.minimum(np.divide(p, rows, out=np.ones_like(p), where=rows > 0), 1.0)[:, None]
    columns = plan.sum(0)
    plan = plan * np.minimum(np.divide(q, columns, out=np.ones_like(q), where=columns > 0), 1.0)
    left, right = p - plan.sum(1), q - plan.sum(0)
    missing = np.abs(left).sum()
    return plan + np.outer(left, right) / missing if missing > 0 else plan


def _plan(C: np.ndarray, f: np.ndarray, g: np.ndarray, log_weights: np.ndarray, eps: float) -> np.ndarray:
    return np.exp((f[:, None] + g - C) / eps + log_weights)  # (2)


def _off(plan: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(plan.sum(1) - p).sum() + np.abs(plan.sum(0) - q).sum())


def _case(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    places = rng.uniform(size=(10, 2)), rng.uniform(size=(12, 2))
    C = np.sqrt(((places[0][:, None] - places[1]) ** 2).sum(-1))
    return C, rng.dirichlet(np.ones(10)), rng.dirichlet(np.ones(12)), places[0]


def the_sums_are_kept() -> Check:
    """With eps = 0.05 the plan's sums come within 1e-9 of both laws.

    Source: Sinkhorn and Knopp 1967
    """
    C, p, q, _ = _case()
    return at_most(sinkhorn(C, p, q, 0.05).marginal_error, 1e-9)


def the_bounds_hold_the_linear_programme() -> Check:
    """For eps 1, 0.1 and 0.01 the exact W lies between the two bounds: the largest breach, up to 1e-12.

    Source: weak duality; Altschuler, Weed, Rigollet 2017
    """
    C, p, q, _ = _case()
    exact = transport(C, p, q).cost
    found = [sinkhorn(C, p, q, eps) for eps in (1.0, 0.1, 0.01)]
    return at_most(max(max(s.lower - exact, exact - s.upper) for s in found), 1e-12)


def less_entropy_is_nearer() -> Check:
    """At eps = 0.005 the cost is above the exact W by at most eps log min(n, m): the share of that which is used.

    Source: KL(P, p q^T) is a mutual information: at least 0 and at most the smaller entropy
    """
    C, p, q, _ = _case()
    found = sinkhorn(C, p, q, 0.005)
    return at_most(float(found.upper - transport(C, p, q).cost) / (0.005 * np.log(min(C.shape))), 1.0)


def primal_meets_dual() -> Check:
    """At convergence (1) equals sum p f + sum q g, its dual, to 1e-9.

    Source: Cuturi 2013; Peyre and Cuturi 2019, proposition 4.4
    """
    C, p, q, _ = _case()
    s, eps = sinkhorn(C, p, q, 0.05, tolerance=1e-12), 0.05
    entropic = (s.plan * C).sum() + eps * (s.plan * np.log(s.plan / np.outer(p, q))).sum()
    return at_most(abs(float(entropic - s.f @ p - s.g @ q)), 1e-9)


def a_small_eps_does_not_overflow() -> Check:
    """At eps = 1e-4 exp(-c / eps) is 0 almost everywhere, and the gap on a line of 20 points is still below 1e-3.

    Source: the log domain with eps scaled down; Schmitzer 2019
    """
    x = np.linspace(0, 1, 20)
    p, q = np.exp(-40 * (x - 0.25) ** 2), np.exp(-40 * (x - 0.7) ** 2)
    p, q = p / p.sum(), q / q.sum()
    C = np.abs(x[:, None] - x)
    assert (np.exp(-C / 1e-4) == 0).mean() > 0.8  # noqa: S101 - scaling vectors would divide by 0
    found = sinkhorn(C, p, q, 1e-4, most=1000)
    assert found.lower - 1e-9 <= on_the_line(x, x, p, q) <= found.upper + 1e-9  # noqa: S101
    return at_most(found.gap, 1e-3)


def the_plain_form_fails_there() -> Check:
    """Scaling exp(-c / eps) in the plain form at eps = 1e-4 leaves rows of zeros: their number among 10.

    Source: underflow below 1e-308
    """
    C, _, _, _ = _case()
    return at_least(float((np.exp(-C / 1e-4).sum(1) == 0).sum()), 1)


CARD = Card(
    name="Sinkhorn's algorithm",
    name_ja="シンクホーンのアルゴリズム(エントロピー正則化最適輸送)",
    paper="Sinkhorn and Knopp 1967; Cuturi 2013, arXiv:1306.0895; Altschuler, Weed, Rigollet 2017",
    equations=(r"\min_P \sum_{ij} P_{ij} c_{ij} + \epsilon\, \mathrm{KL}(P, p q^T),\quad P 1 = p,\ P^T 1 = q",
               r"P_{ij} = p_i\, q_j\, e^{(f_i + g_j - c_{ij})/\epsilon}",
               r"f_i = -\epsilon \log \sum_j q_j\, e^{(g_j - c_{ij})/\epsilon}",
               r"\sum_i p_i f_i + \sum_j q_j \min_i (c_{ij} - f_i) \leq W \leq \sum_{ij} \hat P_{ij} c_{ij}"),
    summary="Optimal transport by scaling rows and columns in turn, in the log domain, with bounds that prove it.",
    summary_ja="行と列を交互に調整する最適輸送。対数領域で計算し、結果を証明する上界と下界を返す。",
    topics=(),
    facts=(the_sums_are_kept, the_bounds_hold_the_linear_programme, less_entropy_is_nearer, primal_meets_dual,
           a_small_eps_does_not_overflow, the_plain_form_fails_there),
)
