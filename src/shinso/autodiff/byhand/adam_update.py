r"""Adam: momentum, divided by the size of the gradients, both corrected for their start at 0.

    m <- b m + (1 - b) g,   v <- c v + (1 - c) g g                              (1)
    w <- w - lr m^ / (sqrt(v^) + eps),   m^ = m / (1 - b^t),   v^ = v / (1 - c^t)      (2)
    w <- w - lr_t m / (sqrt(v) + eps),   lr_t = lr sqrt(1 - c^t) / (1 - b^t)    (3)

t counts from 1. The first step is lr in every direction; later steps are at most lr (1 - b) / sqrt(1 - c) long, or lr.
(3) is the article's class (`folded=True`), with eps outside of the correction: it is (2) with eps / sqrt(1 - c^t),
which is thirty times larger at the first step and fades. The surprise is what cancels: multiply the loss by any
constant, and no step changes.

Kingma and Ba 2015.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._updates import Arrays, Memory, Scratch, pairs, toward, walk
from shinso.core.card import Card, Check, about, at_most, exactly


@final
class Adam:
    """(1) and (2), or (3) with `folded`, in place; `m` and `v` by the parameters' names, `t` updates so far.

    The article's constants are `Adam(0.001, (0.9, 0.999), 1e-7, folded=True)`.
    """

    def __init__(self, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, *,
                 folded: bool = False):
        self.lr, self.betas, self.eps, self.folded = lr, betas, eps, folded
        self.m, self.v, self.scratch, self.t = Memory(), Memory(), Scratch(), 0

    def update(self, params: Arrays, grads: Arrays) -> None:
        self.t += 1
        b, c = self.betas
        root = (1 - c**self.t) ** 0.5
        rate, eps = self.lr * root / (1 - b**self.t), self.eps * (1 if self.folded else root)
        for name, weight, grad in pairs(params, grads):
            m, v, step = self.m.of(name, weight), self.v.of(name, weight), self.scratch.like(weight)
            np.subtract(grad, m, out=step)
            step *= 1 - b
            m += step  # (1)
            np.multiply(grad, grad, out=step)
            toward(v, step, 1 - c)  # (1)
            np.sqrt(v, out=step)
            step += eps
            np.divide(m, step, out=step)
            step *= rate
            np.subtract(weight, step, out=weight)  # (2) with both sides of its fraction times sqrt(1 - c^t), (3)


def the_first_step_is_the_rate() -> Check:
    """For gradients 1e-3, 0.3 and -200 the first step is -lr g / (|g| + eps), to 1e-15.

    Source: m^ = g and v^ = g^2 at t = 1
    """
    g = np.array([1e-3, 0.3, -200.0])
    return at_most(float(np.abs(walk(Adam(), lambda w: g, np.zeros(3), 1)[1] + 0.001 * g / (np.abs(g) + 1e-8)).max()),
                   1e-15)


def the_loss_has_no_unit() -> Check:
    """With eps = 0 a loss 1024 times as large is walked down the same way, bit for bit, over 100 steps.

    Source: m and sqrt(v) scale alike in (2)
    """
    one, big = (walk(Adam(0.1, eps=0.0), lambda w, c=c: c * (np.cos(w) + w), np.array(2.0), 100) for c in (1, 1024))
    return exactly(float(np.abs(one - big).max()), 0)


def the_longest_step() -> Check:
    """A gradient of 1 after 20,000 zeros makes a step of lr (1 - b) / sqrt(1 - c) = 3.1623 lr, the longest there is.

    Source: Kingma and Ba 2015, section 2.1
    """
    rule, params = Adam(), {"w": np.array(0.0)}
    rule.t = 20_000  # with zero gradients m and v stay 0
    rule.update(params, {"w": np.array(1.0)})
    return about(float(-params["w"]) / 0.001, 3.1623, 1e-4)


def no_step_is_longer() -> Check:
    """Over 2000 steps of sparse and heavy-tailed gradients no step exceeds lr (1 - b) / sqrt(1 - c).

    Source: Kingma and Ba 2015, section 2.1
    """
    draw = np.random.default_rng(0)
    slopes = iter(draw.standard_cauchy((2000, 20)) * (draw.random((2000, 20)) < 0.05))
    steps = np.diff(walk(Adam(), lambda w: next(slopes), np.zeros(20), 2000), axis=0)
    return at_most(float(np.abs(steps).max()) / (0.001 * 0.1 / 0.001**0.5), 1)


def folded_is_another_eps() -> Check:
    """The article's class is (2) with eps = 1e-7 / sqrt(1 - c^t) at step t, to 1e-15 over 100 steps.

    Source: equations (2) and (3)
    """
    folded, plain = Adam(0.1, eps=1e-7, folded=True), Adam(0.1)
    a, b = {"w": np.array(2e-6)}, {"w": np.array(2e-6)}
    worst = 0.0
    for t in range(1, 101):
        plain.eps = 1e-7 / (1 - 0.999**t) ** 0.5
        folded.update(a, {"w": 1e-3 * a["w"]})
        plain.update(b, {"w": 1e-3 * b["w"]})
        worst = max(worst, abs(float(a["w"] - b["w"])))
    return at_most(worst, 1e-15)


def without_the_square_the_root_is_imaginary() -> Check:
    """With v <- c v + (1 - c) g, as the article's formula has it, a gradient of -0.3 gives the root of a negative.

    Source: the article's formula; its code squares
    """
    v = 0.999 * 0 + 0.001 * -0.3
    return exactly(float(isinstance((v / (1 - 0.999)) ** 0.5, complex)), 1)


def counted_from_zero_it_divides_by_zero() -> Check:
    """With the exponent t of the step before, as in the article's formula, the first correction is 1 / 0.

    Source: 1 - b^0 = 0; the article's code counts from 1
    """
    try:
        return exactly(1 / (1 - 0.9**0), 1)
    except ZeroDivisionError:
        return exactly(1, 1)


CARD = Card(
    name="Update by Adam",
    name_ja="Adam の更新則",
    paper="Kingma and Ba 2015, Adam: a method for stochastic optimization, arXiv:1412.6980",
    equations=(
        r"m \leftarrow \beta_1 m + (1 - \beta_1) g,\quad v \leftarrow \beta_2 v + (1 - \beta_2)\, g \odot g",
        r"w \leftarrow w - \eta \frac{\hat m}{\sqrt{\hat v} + \epsilon},\quad "
        r"\hat m = \frac{m}{1 - \beta_1^t},\quad \hat v = \frac{v}{1 - \beta_2^t}",
        r"w \leftarrow w - \eta_t \frac{m}{\sqrt{v} + \epsilon},\quad "
        r"\eta_t = \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}",
    ),
    summary="Momentum divided by the size of the gradients, both corrected for their start at 0.",
    summary_ja="Momentum を勾配の大きさで割る。どちらも 0 から始まる分を補正する。",
    topics=(),
    facts=(
        the_first_step_is_the_rate,
        the_loss_has_no_unit,
        the_longest_step,
        no_step_is_longer,
        folded_is_another_eps,
        without_the_square_the_root_is_imaginary,
        counted_from_zero_it_divides_by_zero,
    ),
    notes=("The article's formula averages g in v, not its square: a negative gradient gives an imaginary root.",
           "The article's formula takes the exponent t at step t + 1: at t = 0 that divides by zero. Its code "
           "counts from 1.",
           "The article's class has eps outside of the correction: it is torch's form only with eps / sqrt(1 - c^t)."),
    notes_ja=("記事の式の v は g の二乗ではなく g を平均している。負の勾配では根が虚数になる。",
              "記事の式は t + 1 歩目に指数 t を使う。t = 0 では零で割ることになる。コードは 1 から数えている。",
              "記事のクラスの eps は補正の外にある。torch の形になるのは eps / sqrt(1 - c^t) としたときだけである。"),
)
