r"""The noise of stochastic gradient descent: how large it is, how normal, and how far it shakes (Robbins, Monro 1951).

    w <- w - a g_b(w),   g_b = mean of b gradients drawn from n                                        (1)

Minus: with a plus, as three slides print it, the loss is climbed. With S the covariance of the n gradients (divided by
n - 1), and the batch drawn without putting back, as in an epoch,

    Cov g_b = S / b (1 - b / n)                                                                        (2)

and with putting back S (n - 1) / (n b): of slope -1 in log-log, normal in the limit, since the shape of a mean obeys

    skewness(b) = skewness(1) / b^(1/2),   excess kurtosis(b) = excess kurtosis(1) / b                  (3)

exactly. Around the minimum of l w^2 / 2, with gradients of variance s^2, the shaking ends at a variance that is known,

    v <- (1 - a l)^2 v + a^2 s^2 / b,    v -> a s^2 / (b l (2 - a l))                                   (4)

The surprise: (2) ends at zero, not at S / n. The last batch of an epoch that holds all examples leaves nothing to
chance, and a batch of half of them has half the variance of the usual formula. Keskar et al. 2017 (arXiv:1609.04836).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from shinso.basics.large_batch import gradients
from shinso.core.axes import BLUE, GREY, ORANGE, RED, quiet
from shinso.core.card import Card, Check, about, at_least, at_most
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import generator
from shinso.core.setup import in_range
from shinso.learn.sweep import Columns, Sweep
from shinso.theory import flat_minima, reparametrisation


def stationary_variance(lr: float, curvature: float, variance: float, batch_size: int) -> float:
    """The limit of (4)."""
    return lr * variance / (batch_size * curvature * (2 - lr * curvature))  # (4)


@cache
def leading(examples: int, directions: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Gradients of single digits, less their mean, along their leading directions, (n, k), and S there, (k, k)."""
    each = gradients(examples, seed)
    each = each - each.mean(0)
    along = each @ torch.linalg.svd(each, full_matrices=False)[2][:directions].T
    return along, along.T @ along / (len(each) - 1)


def law(S: Tensor, b: int, n: int, *, put_back: bool) -> Tensor:
    """(2), or its form for a batch drawn with putting back."""
    return S / b * ((n - 1) / n if put_back else 1 - b / n)  # (2)


def shaken(rate: float, b: int, walkers: int, *, plus: bool = False) -> tuple[float, float]:
    """The mean square of many descents (1) around one minimum after they have settled, and the limit of (4).

    The loss is the mean of (w - c_i)^2 / 2 over 1,000 skewed c_i with mean 0, so s^2 is their variance.
    """
    draw = generator(0, f"shaken/{b}/{rate}")
    centres = -torch.rand(1000, generator=generator(0, "centres"), dtype=torch.float64).log()
    centres = centres - centres.mean()
    w = torch.zeros(walkers, dtype=torch.float64)
    for _ in range(int(max(60, 4 / rate))):
        slope = w - centres[torch.randint(1000, (b, walkers), generator=draw)].mean(0)
        w = w + rate * slope if plus else w - rate * slope  # (1)
    return float(w.square().mean()), stationary_variance(rate, 1.0, float(centres.square().mean()), b)


def batch_means(each: Tensor, b: int, draws: int, name: str, *, put_back: bool) -> Tensor:
    """Means of `draws` batches of b rows of each (n, k), (draws, k)."""
    draw = generator(0, f"{name}/{b}")
    if put_back:
        return each[torch.randint(len(each), (draws, b), generator=draw)].mean(1)
    return each[torch.rand(draws, len(each), generator=draw).argsort(1)[:, :b]].mean(1)


def shape(values: Tensor) -> tuple[float, float]:
    """Skewness and excess kurtosis of values (n,)."""
    z = (values - values.mean()) / values.std(correction=0)
    return float(z.pow(3).mean()), float(z.pow(4).mean()) - 3


def _draw(n: int, along: Tensor, draws: int, rows: Columns) -> dict[str, np.ndarray]:
    return {"batch_law": _batch_law(n, along, draws, rows), "shaking": _shaking()}


def _batch_law(n: int, along: Tensor, draws: int, rows: Columns) -> np.ndarray:
    """Variance by batch size, and how skewness and kurtosis fall."""
    figure = sheet(1000, 400)
    left, right = figure.subplots(1, 2)
    b, line = rows["batch_size"], np.geomspace(1, n - 1, 300)
    whole = float(along.square().sum()) / (n - 1)
    left.loglog(line, whole / line, ":", color=GREY, linewidth=2, label="S / b")
    left.loglog(line, whole / line * (1 - line / n), color=RED, linewidth=1.8, label="S / b (1 - b/n), (2)")
    seen = rows["measured"] > 1e-12
    left.loglog(b[seen], rows["measured"][seen], "o", color=BLUE, markersize=4.5, label="measured / 測定")
    quiet(left, f"variance of a batch's gradient / 勾配の分散, n = {n}", "batch size b / バッチサイズ")
    skew, kurtosis = shape(along[:, 0])
    for name, start, power, error, colour, mark in (
        ("skewness / 歪度", skew, -0.5, (6 / draws) ** 0.5, BLUE, "o"),
        ("kurtosis / 尖度", kurtosis, -1.0, (24 / draws) ** 0.5, ORANGE, "s"),
    ):
        few = abs(start) * b**power > 4 * error  # below, they are lost in the noise of the measurement
        right.loglog(b[few], np.abs(rows[name.split(" ")[0]])[few], mark, color=colour, markersize=4.5, label=name)
        right.loglog(line, abs(start) * line**power, color=colour, linewidth=1.2)
    quiet(right, "towards a normal law / 正規分布へ (3)", "batch size b / バッチサイズ")
    for axes in (left, right):
        axes.legend(frameon=False, loc="lower left")
    return pixels(figure)


def _shaking() -> np.ndarray:
    """The stationary variance over the learning rate, for three batch sizes, with (4)."""
    figure = sheet(900, 400)
    axes = figure.subplots()
    rates = [0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.3, 1.6, 1.8]
    line = np.linspace(0.03, 1.9, 200)
    for b, colour in ((1, BLUE), (4, RED), (16, ORANGE)):
        found = np.array([shaken(rate, b, 1500) for rate in rates])
        s2 = found[0, 1] * b * (2 - rates[0]) / rates[0]
        axes.semilogy(line, line * s2 / (b * (2 - line)), color=colour, linewidth=1.5)
        axes.semilogy(rates, found[:, 0], "o", color=colour, markersize=6, label=f"b = {b}")
    axes.axvline(2, color=GREY, linestyle=":", linewidth=2)
    quiet(axes, "how far descent shakes around its minimum / 最小点の周りの揺れ (4)", "learning rate a / 学習率",
          "variance / 分散").legend(frameon=False)
    return pixels(figure)


def single_examples_shake_as_foretold() -> Check:
    """With batches of 1 and rate 0.1 the stationary variance is that of (4), within 3 percent: their ratio.

    Source: equation (4); standard error 1 percent
    """
    measured, limit = shaken(0.1, 1, 20_000)
    return about(measured / limit, 1.0, 0.03)


def batches_of_four_shake_a_quarter() -> Check:
    """With batches of 4 it is that of (4), too, within 3 percent: their ratio.

    Source: equation (4)
    """
    measured, limit = shaken(0.1, 4, 20_000)
    return about(measured / limit, 1.0, 0.03)


def with_a_plus_there_is_no_stationary_law() -> Check:
    """With w + a grad J, as three slides print it, the mean square after 60 steps is at least 1,000 times (4).

    Source: sign slip in a document's update rule
    """
    measured, limit = shaken(0.1, 1, 100, plus=True)
    return at_least(measured / limit, 1e3)


def the_covariance_is_the_law() -> Check:
    """Batches of 100 of 200 digits drawn without putting back have the covariance (2) in 3 leading directions, to 10 %.

    Source: equation (2); the naive S / b is twice as much
    """
    along, S = leading(200, 3)
    made = batch_means(along, 100, 3000, "half", put_back=False)
    right = law(S, 100, 200, put_back=False)
    return at_most(float((made.T @ made / len(made) - right).norm() / right.norm()), 0.1)


def the_slope_is_minus_one() -> Check:
    """Over batches of 1 to 64 with putting back the slope of log variance against log b is -1 within 0.03.

    Source: course statement on mini-batch noise; equation (2)
    """
    along, _ = leading(200, 3)
    sizes = [1, 4, 16, 64]
    found = [float(batch_means(along, b, 8000, "slope", put_back=True).square().sum(1).mean()) for b in sizes]
    return about(float(np.polyfit(np.log(sizes), np.log(found), 1)[0]), -1.0, 0.03)


def batches_of_sixteen_are_a_quarter_as_skewed() -> Check:
    """The skewness of a batch of 16 along the leading direction is that of one example divided by 4, within 0.06.

    Source: equation (3); standard error 0.012 over 40,000 batches
    """
    along, _ = leading(200, 1)
    made = batch_means(along, 16, 40_000, "shape", put_back=True)[:, 0]
    return at_most(abs(shape(made)[0] - shape(along[:, 0])[0] / 4), 0.06)


def and_their_tails_are_nearly_normal() -> Check:
    """The excess kurtosis of a batch of 16 is that of one example divided by 16, within 0.12.

    Source: equation (3); standard error 0.025
    """
    along, _ = leading(200, 1)
    made = batch_means(along, 16, 40_000, "shape", put_back=True)[:, 0]
    return at_most(abs(shape(made)[1] - shape(along[:, 0])[1] / 16), 0.12)


def walkers_stay_longer_in_the_wider_well() -> Check:
    """Of 1,000 walkers shaken by batches of 8, at least 75 percent are in the wider of two equally deep wells.

    Source: Keskar et al. 2017, section 2; the crowd of theory.flat_minima, where five to one would be 83 percent
    """
    program = flat_minima.build(flat_minima.Setup(walkers=1000, batch_size=8, stride=50, steps=40))
    share = [float(program.step(i)["measured"]) for i in range(program.total)]
    return at_least(float(np.mean(share[25:])), 0.75)


def the_trace_can_be_rewritten() -> Check:
    """A ReLU net rewritten with a = 10 has its answers (to 1e-10) and at least 10 times the trace of the Hessian.

    Source: Dinh et al. 2017, theorem 4; the net of theory.reparametrisation
    """
    net = reparametrisation.trained(8, 200, 0)
    moved = net.moved(10.0)
    assert float((net.answer(moved, net.x) - net.answer(net.theta, net.x)).abs().max()) < 1e-10  # noqa: S101
    return at_least(float(net.hessian(moved).trace() / net.hessian(net.theta).trace()), 10.0)


CARD = Card(
    name="The noise of stochastic gradient descent",
    name_ja="確率的勾配降下法の雑音",
    paper="Robbins and Monro 1951, A stochastic approximation method; Keskar et al. 2017, arXiv:1609.04836",
    equations=(
        r"w \leftarrow w - a\,g_b(w),\quad g_b = \frac{1}{b}\sum_{i \in B} \nabla f_i(w)",
        r"\mathrm{Cov}\,g_b = \frac{S}{b}\left(1 - \frac{b}{n}\right)",
        r"\gamma(b) = \gamma(1)\,b^{-1/2},\quad \kappa(b) = \kappa(1)\,b^{-1}",
        r"v \leftarrow (1 - a\lambda)^2 v + \frac{a^2 s^2}{b},\quad "
        r"v \rightarrow \frac{a s^2}{b\lambda(2 - a\lambda)}",
    ),
    summary="Three laws of the noise of a batch, measured on digits: its size, its shape, how far it shakes descent.",
    summary_ja="ミニバッチの雑音の三つの法則を手書き数字で測る。大きさ、形、そして勾配降下をどれだけ揺らすか。",
    topics=("theory.gd-sgd", "optim.sgd-noise-normal"),
    facts=(single_examples_shake_as_foretold, batches_of_four_shake_a_quarter, with_a_plus_there_is_no_stationary_law,
           the_covariance_is_the_law, the_slope_is_minus_one, batches_of_sixteen_are_a_quarter_as_skewed,
           and_their_tails_are_nearly_normal, walkers_stay_longer_in_the_wider_well, the_trace_can_be_rewritten),
    notes=("Three slides write w + a grad J: that climbs. The sign here is minus.",
           "The factor 1 - b/n of a batch drawn without putting back is usually dropped; for b = n/2 it is a half.",
           "That small batches find flat minima which generalise is contested on the same slide: flatness depends on "
           "how the network is written down."),
    notes_ja=("三枚のスライドは w + a grad J と書くが、それでは登ってしまう。ここでは符号はマイナス。",
              "戻さずに引いたバッチの係数 1 - b/n は省かれることが多い。b = n/2 なら 2 倍の違いになる。",
              "小さいバッチが平坦な極小を見つけて汎化するという説には、同じスライドに反論がある。"
              "平坦さはネットワークの書き方に依存する。"),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Gradients of a softmax layer on digits, in batches of many sizes."""

    examples: int = 200
    """digits n, at most 1,797"""
    directions: int = 3
    """leading directions of the gradients along which the noise is measured"""
    sizes: int = 60
    """batch sizes, from 1 to n"""
    draws: int = 4000
    """batches of each size"""
    seed: int = 0
    """of the digits and the weights"""


VARIANTS = {"smoke": Setup(sizes=40, draws=400), "default": Setup(), "many": Setup(examples=1000, draws=1000)}


def build(setup: Setup, place: Place = Place()) -> Sweep:  # noqa: B008 - a frozen value
    """One step measures one batch size, in float64 on the CPU."""
    in_range(setup, ("examples", "directions", "sizes", "draws"))
    if not 4 <= setup.examples <= 1797 or setup.draws < 2:
        raise UserError("examples", f"{setup.examples} digits in {setup.draws} batches leave nothing to measure",
                        "give --examples from 4 to 1797 and --draws 2 or more")
    along, S = leading(setup.examples, min(setup.directions, setup.examples - 1), setup.seed)
    n, whole = setup.examples, float(S.trace())

    def measure(b: int) -> Record:
        made = batch_means(along, b, setup.draws, "size", put_back=False).square().sum(1)
        predicted = float(law(S, b, n, put_back=False).trace())
        skewness, kurtosis = shape(batch_means(along[:, :1], b, 10 * setup.draws, "shape", put_back=True)[:, 0])
        error = max(float(made.std()), predicted / 5) / setup.draws**0.5
        return {"batch_size": float(b), "measured": made.mean(), "predicted": predicted,
                "within": 5 * error + 1e-14 * whole, "skewness": skewness, "kurtosis": kurtosis}

    sizes = np.geomspace(1, n, setup.sizes).round().astype(int).tolist()
    return Sweep(sizes, measure, lambda rows: _draw(n, along, 10 * setup.draws, rows))
