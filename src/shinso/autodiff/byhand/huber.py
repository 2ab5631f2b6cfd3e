r"""Huber loss: squared where errors are small, straight where they are large.

    h(a) = 1/2 a^2 if |a| <= d, else d (|a| - d/2),   L = 1/N sum h(y - t)      (1)
    h'(a) = a if |a| <= d, else d sign(a)                                       (2)

At |a| = d both branches have the value d^2/2 and the slope d: one delta must stand in all three places. The surprise:
the slope never exceeds d, so that a single wild target pulls no harder than any other large error; the best constant
answer moves from the mean (large d) to the median (small d).

Huber 1964.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._shapes import matching
from shinso.core.card import Card, Check, about, at_most
from shinso.core.errors import UserError


@final
class Huber:
    """Prediction and target of one shape -> a number; averaged over all entries."""

    def __init__(self, delta: float = 1.0):
        if not delta > 0:
            raise UserError("Huber loss", f"delta = {delta} is not above 0", "give a positive number")
        self.delta = delta

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        matching("Huber loss", prediction, target)
        self.error = prediction - target
        size = np.abs(self.error)
        values = np.where(size <= self.delta, 0.5 * size * size, self.delta * (size - 0.5 * self.delta))  # (1)
        return float(values.mean())

    def backward(self, grad: float = 1.0) -> np.ndarray:
        return np.clip(self.error, -self.delta, self.delta) * (grad / self.error.size)  # (2)


def example(rng: np.random.Generator) -> tuple[Huber, tuple[np.ndarray, np.ndarray]]:
    """Errors well inside and well outside of 1, of both signs."""
    error = np.where(rng.random((4, 3)) < 0.5, rng.uniform(0.1, 0.8, (4, 3)), rng.uniform(1.2, 3, (4, 3)))
    target = rng.normal(size=(4, 3))
    return Huber(), (target + error * rng.choice([-1, 1], (4, 3)), target)


def _value(a: float, delta: float) -> tuple[float, float]:
    loss = Huber(delta)
    return loss.forward(np.array([a]), np.zeros(1)), float(loss.backward()[0])


def value_and_slope_join() -> Check:
    """At |a| = delta and the next number above it value and slope agree to 1e-15, for delta 0.5, 1 and 2.

    Source: equations (1) and (2); Huber 1964
    """
    gaps = []
    for delta in (0.5, 1.0, 2.0):
        inside, outside = _value(delta, delta), _value(float(np.nextafter(delta, 9)), delta)
        gaps += [abs(a - b) for a, b in zip(inside, outside, strict=True)]
    return at_most(max(gaps), 1e-15)


def the_slope_is_bounded() -> Check:
    """Over errors from -100 to 100 the largest slope for delta = 0.7 is 0.7.

    Source: equation (2)
    """
    return about(max(abs(_value(float(a), 0.7)[1]) for a in np.linspace(-100, 100, 401)), 0.7, 0)


def the_articles_threshold_jumps() -> Check:
    """With the article's |a| <= 1 and delta = 2 the value falls from 0.5 to 0 at |a| = 1; with |a| <= delta never.

    Source: delta (1 - delta/2) = 0 at delta = 2
    """
    def article(a: float, delta: float) -> float:
        return 0.5 * a * a if abs(a) <= 1 else delta * (abs(a) - delta / 2)

    above = float(np.nextafter(1, 2))
    ours = abs(_value(1, 2)[0] - _value(above, 2)[0])
    return about(article(1, 2) - article(above, 2) - ours, 0.5, 1e-15)


def _best(delta: float) -> float:
    """The constant answer to 0, 1, 2, 3 and a wild 100 with the least loss, by halving where its slope changes sign."""
    t, loss, low, high, middle = np.array([0.0, 1, 2, 3, 100]), Huber(delta), 0.0, 100.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        loss.forward(np.full(5, middle), t)
        low, high = (low, middle) if loss.backward().sum() > 0 else (middle, high)
    return middle


def from_the_mean_to_the_median() -> Check:
    """For targets 0, 1, 2, 3, 100 the best constant is their mean 21.2 with delta 1000 and their median 2 with 0.001.

    Source: Huber 1964; the two limits of (1)
    """
    return at_most(abs(_best(1000) - 21.2) + abs(_best(0.001) - 2), 0.002)


CARD = Card(
    name="Huber loss",
    name_ja="Huber 損失",
    paper="Huber 1964, Robust estimation of a location parameter, doi:10.1214/aoms/1177703732",
    equations=(
        r"h(a) = \tfrac12 a^2\ (|a| \le \delta),\quad \delta(|a| - \tfrac12 \delta)\ (|a| > \delta)",
        r"h'(a) = a\ (|a| \le \delta),\quad \delta\, \mathrm{sign}(a)\ (|a| > \delta)",
    ),
    summary="Squared where errors are small, straight where they are large: no error pulls harder than delta.",
    summary_ja="小さな誤差には二乗、大きな誤差には一次。どんな誤差も delta より強くは引かない。",
    topics=("nn.huber",),
    facts=(value_and_slope_join, the_slope_is_bounded, the_articles_threshold_jumps, from_the_mean_to_the_median),
    notes=("The article's code asks |a| <= 1 where |a| <= delta belongs: for any other delta the function jumps.",),
    notes_ja=("記事のコードは |a| <= delta とすべき所を |a| <= 1 としている。delta が 1 でないと関数が途切れて跳ぶ。",),
    twin="torch.nn.functional.huber_loss",
)
