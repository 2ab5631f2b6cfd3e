r"""Additive white Gaussian noise: what a channel adds to a signal (Shannon 1948).

    y = x + w,   w ~ N(0, sigma^2)  independent in every entry                         (1)
    sigma = sqrt(1/2 10^{-snr/10} / R)                                                 (2)

(2) is for symbols of energy 1 that carry R information bits each, with the ratio E_b/N_0 given as `snr` in decibel:
N_0 = 1 / (R 10^{snr/10}), and a real channel sees N_0 / 2. A complex channel has two real parts: noise of variance
sigma^2 puts sigma^2 / 2 into each (3), or the signal-to-noise ratio is off by 3 decibel.
"""

import numpy as np

from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.maths.inputs import numbers, positive

WHERE = "awgn"


def noise_deviation(snr: float, rate: float) -> float:
    """(2): sigma for E_b/N_0 = `snr` in decibel and `rate` information bits for each real symbol of energy 1."""
    decibel = float(numbers(WHERE, "snr", snr, 0))
    return (0.5 * 10 ** (-decibel / 10) / positive(WHERE, "rate", rate)) ** 0.5


def awgn(x: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """(1): `x` of any shape, real or complex, with noise of variance sigma^2 for each entry; complex entries: (3)."""
    x = np.asarray(x)
    if x.dtype.kind not in "buifc" or not np.isfinite(x).all():
        raise UserError(WHERE, "the signal has a value that is no finite number", "give real or complex numbers")
    deviation = float(numbers(WHERE, "sigma", sigma, 0))
    if deviation < 0:
        raise UserError(WHERE, f"sigma = {deviation:g} is negative", "give 0 or more")
    if x.dtype.kind != "c":
        return x + deviation * rng.standard_normal(x.shape)
    parts = rng.standard_normal((2, *x.shape)) * (deviation / 2**0.5)  # (3)
    return x + parts[0] + 1j * parts[1]


def the_decoders_channel() -> Check:
    """At 4.5 decibel and rate 0.5 the deviation is 0.5956621435.

    Source: the bit-flipping decoder of the course; equation (2)
    """
    return about(noise_deviation(4.5, 0.5), 0.5956621435, 5e-11)


def the_noise_has_its_variance() -> Check:
    """Of 200,000 real entries the measured variance is sigma^2 within 4 standard errors.

    Source: Var of the mean of w^2 is 2 sigma^4 / n
    """
    n, sigma = 200_000, 0.7
    w = awgn(np.zeros(n), sigma, np.random.default_rng(0))
    return at_most(abs(float((w**2).mean()) - sigma**2) / (sigma**2 * (2 / n) ** 0.5), 4.0)


def complex_noise_shares_it() -> Check:
    """Of 200,000 complex entries the mean of |w|^2 is sigma^2 and each part has the half, within 4 standard errors.

    Source: equation (3); Var |w|^2 = sigma^4
    """
    n, sigma = 200_000, 0.7
    w = awgn(np.zeros(n, dtype=complex), sigma, np.random.default_rng(1))
    whole = abs((np.abs(w) ** 2).mean() - sigma**2) / (sigma**2 / n**0.5)
    half, both = sigma**2 / 2, (np.real(w), np.imag(w))
    parts = [abs((part**2).mean() - half) / (half * (2 / n) ** 0.5) for part in both]
    return at_most(float(max(whole, *parts)), 4.0)


def unshared_noise_is_three_decibel_too_loud() -> Check:
    """With sigma in both parts the noise is 10 log10(2) = 3.0103 decibel above sigma^2, to 0.05.

    Source: sigma^2 + sigma^2
    """
    n, sigma, rng = 200_000, 0.7, np.random.default_rng(2)
    w = awgn(np.zeros(n), sigma, rng) + 1j * awgn(np.zeros(n), sigma, rng)
    return about(float(10 * np.log10((np.abs(w) ** 2).mean() / sigma**2)), 3.0103, 0.05)


def entries_do_not_know_each_other() -> Check:
    """White: of 100 lags no correlation of 100,000 entries with the later ones passes 5 standard errors; the largest.

    Source: Bartlett 1946: the standard error is 1/sqrt(n); beyond 5 of them in 100 lags: chance 6e-5
    """
    n = 100_000
    w = awgn(np.zeros(n), 1.0, np.random.default_rng(3))
    largest = max(abs(float(w[lag:] @ w[:-lag])) for lag in range(1, 101)) / float(w @ w) * n**0.5
    assert largest > 0.5  # noqa: S101 - of 100 lags one at least is not that small
    return at_most(largest, 5.0)


def more_decibel_are_less_noise() -> Check:
    """10 decibel more make sigma smaller by the root of 10, to 1e-12: the smallest ratio over 20 pairs.

    Source: equation (2)
    """
    snr = np.linspace(-5, 14, 20)
    return at_least(min(noise_deviation(s, 0.5) / noise_deviation(s + 10, 0.5) for s in snr), 10**0.5 - 1e-12)


CARD = Card(
    name="Additive white Gaussian noise",
    name_ja="加法的白色ガウス雑音(AWGN)",
    paper="Shannon 1948, A Mathematical Theory of Communication, Bell System Technical Journal 27",
    equations=(r"y = x + w,\quad w \sim N(0, \sigma^2)", r"\sigma = \sqrt{\frac{1}{2}\,10^{-\mathrm{snr}/10} / R}",
               r"\mathrm{Var}\,\mathrm{Re}\,w = \mathrm{Var}\,\mathrm{Im}\,w = \sigma^2 / 2"),
    summary="What a channel adds to a signal: independent Gaussian noise, its size from decibel and code rate.",
    summary_ja="通信路が信号に加える独立なガウス雑音。大きさはデシベルと符号化率から決まる。",
    topics=("maths.awgn",),
    facts=(the_decoders_channel, the_noise_has_its_variance, complex_noise_shares_it,
           unshared_noise_is_three_decibel_too_loud, entries_do_not_know_each_other, more_decibel_are_less_noise),
    notes=("Complex noise splits sigma^2 over its two parts: each has the deviation sigma / sqrt(2).",),
    notes_ja=("複素雑音では sigma^2 が実部と虚部に分かれる。それぞれの標準偏差は sigma / sqrt(2) である。",),
)
