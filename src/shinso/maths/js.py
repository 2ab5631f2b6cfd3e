r"""Jensen-Shannon divergence: how far two laws lie from their mixture (Lin 1991).

    JS(p, q) = 1/2 KL(p, m) + 1/2 KL(q, m),   m = (p + q) / 2                          (1)
    0 <= JS <= log 2,  and log 2 exactly when no outcome is possible under both        (2)
    V(D) = sum p log D + sum q log(1 - D) <= V(p / (p + q)) = 2 JS(p, q) - log 4       (3)

Its root is a metric (Endres and Schindelin 2003). The surprise: (3), the value of the game that a GAN plays, is
2 JS - log 4, and the generator x log x - (1 + x) log((1 + x) / 2) gives 2 JS, not JS.
"""

from math import e, log

import numpy as np
from numpy.typing import ArrayLike

from shinso.core.card import Card, Check, about, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers, two_masses, x_log_y
from shinso.maths.kl import kl


def js(p: ArrayLike, q: ArrayLike, base: float = e) -> float:
    """(1) of two tables of the same shape; always finite."""
    p, q = two_masses("js", p, q)
    m = 0.5 * p + 0.5 * q
    return 0.5 * kl(p, m, base) + 0.5 * kl(q, m, base)


def js_distance(p: ArrayLike, q: ArrayLike, base: float = e) -> float:
    """The root of (1): a metric."""
    return js(p, q, base) ** 0.5


def best_discriminator(p: ArrayLike, q: ArrayLike) -> np.ndarray:
    """p / (p + q), where (3) is largest; 1/2 where neither law puts anything."""
    p, q = two_masses("js", p, q)
    return np.divide(p, p + q, out=np.full(p.shape, 0.5), where=p + q > 0)


def game_value(p: ArrayLike, q: ArrayLike, discriminator: ArrayLike) -> float:
    """V(D) of (3) for a D with values from 0 to 1; -inf where D is surely wrong."""
    p, q = two_masses("js", p, q)
    D = numbers("js", "discriminator", discriminator)
    if D.shape != p.shape or D.min() < 0 or D.max() > 1:
        raise UserError("js", f"the discriminator {D.shape} is not a probability for each of {p.shape}", "give it so")
    return float((x_log_y(p, D) + x_log_y(q, 1 - D)).sum())


def _triples(number: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([rng.dirichlet(np.full(5, 10.0 ** rng.uniform(-1, 1)), 3) for _ in range(number)])


def it_stays_between_nothing_and_log_two() -> Check:
    """Over 2,000 pairs JS lies from 0 to log 2 and is symmetric: the furthest outside or apart, up to 1e-15.

    Source: Lin 1991, theorem 3
    """
    worst = 0.0
    for p, q, _ in _triples(2000):
        one, other = js(p, q), js(q, p)
        worst = max(worst, -one, one - log(2), abs(one - other))
    return at_most(worst, 1e-15)


def disjoint_laws_are_log_two_apart() -> Check:
    """Between laws without a common outcome JS is log 2, however near or far the outcomes are.

    Source: Lin 1991; equation (2)
    """
    p, q = np.zeros(20), np.zeros(20)
    p[:10], q[10:] = np.random.default_rng(1).dirichlet(np.ones(10), 2)
    return about(js(p, q), log(2), 1e-15)


def the_root_is_a_metric() -> Check:
    """Over 2,000 triples the detour is never shorter: the most that d(a, c) passes d(a, b) + d(b, c).

    Source: Endres and Schindelin 2003; Oesterreicher and Vajda 2003
    """
    return at_most(max(js_distance(a, c) - js_distance(a, b) - js_distance(b, c) for a, b, c in _triples(2000)), 1e-12)


def the_printed_generator_gives_twice() -> Check:
    """sum q f(p / q) with f = x log x - (1 + x) log((1 + x) / 2) is 2 JS to 1e-14, over 500 pairs.

    Source: Nowozin, Cseke, Tomioka 2016, table 1; equation (1)
    """
    worst = 0.0
    for p, q in np.random.default_rng(2).dirichlet(np.full(6, 2.0), (500, 2)):
        x = p / q
        printed = (q * (x * np.log(x) - (1 + x) * np.log((1 + x) / 2))).sum()
        worst = max(worst, abs(float(printed) - 2 * js(p, q)))
    return at_most(worst, 1e-14)


def the_game_is_worth_twice_minus_log_four() -> Check:
    """The best discriminator's value is 2 JS - log 4 to 1e-14, and 1,000 other discriminators never pass it.

    Source: Goodfellow et al. 2014, theorem 1
    """
    rng, worst = np.random.default_rng(3), 0.0
    for p, q in rng.dirichlet(np.full(6, 2.0), (100, 2)):
        best = game_value(p, q, best_discriminator(p, q))
        worst = max(worst, abs(best - 2 * js(p, q) + log(4)))
        worst = max(worst, *(game_value(p, q, D) - best for D in rng.uniform(0, 1, (10, 6))))
    return at_most(worst, 1e-14)


CARD = Card(
    name="Jensen-Shannon divergence",
    name_ja="イェンセン・シャノン・ダイバージェンス",
    paper="Lin 1991, doi:10.1109/18.61115; Endres and Schindelin 2003, doi:10.1109/TIT.2003.813506",
    equations=(
        r"\mathrm{JS}(p, q) = \frac{1}{2}\mathrm{KL}(p, m) + \frac{1}{2}\mathrm{KL}(q, m),\quad m = \frac{p + q}{2}",
        r"0 \leq \mathrm{JS}(p, q) \leq \log 2",
        r"\max_D \sum p \log D + \sum q \log(1 - D) = 2\,\mathrm{JS}(p, q) - \log 4",
    ),
    summary="A symmetric, bounded divergence whose root is a metric: what a GAN's discriminator measures.",
    summary_ja="対称で有界なダイバージェンス。平方根は距離になる。GANの識別器が測るもの。",
    topics=("maths.js",),
    facts=(it_stays_between_nothing_and_log_two, disjoint_laws_are_log_two_apart, the_root_is_a_metric,
           the_printed_generator_gives_twice, the_game_is_worth_twice_minus_log_four),
    notes=("The generator x log x - (1 + x) log((1 + x) / 2) that is printed for JS gives 2 JS: it needs a factor 1/2.",
           "The largest value of the GAN's game is 2 JS - log 4, not JS."),
    notes_ja=("JS のものとして載る生成関数 x log x - (1 + x) log((1 + x) / 2) は 2 JS を与える。係数 1/2 が要る。",
              "GANのゲームの最大値は JS ではなく 2 JS - log 4 である。"),
)
