r"""AdaGrad: directions that had large gradients get small steps.

    h <- h + g g                                              (1)
    w <- w - lr g / (sqrt(h) + eps)                           (2)

entry by entry, g = dL/dw. The first step is lr in every direction, however large the gradient; under an even slope step
t is lr / sqrt(t). The surprise: a rare feature, whose weight has a gradient once in a thousand steps, keeps its full
rate until it is needed. h only grows, so the steps tend to 0, without ever being 0.

Duchi, Hazan, Singer 2011.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._updates import Arrays, Memory, Scratch, pairs, walk
from shinso.core.card import Card, Check, about, at_least, at_most


@final
class AdaGrad:
    """(1) and (2) in place; `h` by the parameters' names; eps stands outside of the root."""

    def __init__(self, lr: float = 0.01, eps: float = 1e-7):
        self.lr, self.eps = lr, eps
        self.h, self.scratch = Memory(), Scratch()

    def update(self, params: Arrays, grads: Arrays) -> None:
        for name, weight, grad in pairs(params, grads):
            h, step = self.h.of(name, weight), self.scratch.like(weight)
            np.multiply(grad, grad, out=step)
            h += step  # (1)
            np.sqrt(h, out=step)
            step += self.eps
            np.divide(grad, step, out=step)
            step *= self.lr
            np.subtract(weight, step, out=weight)  # (2)


def the_first_step_is_the_rate() -> Check:
    """For gradients 1e-3, 0.3 and -200 the first step is -lr g / (|g| + eps), to 1e-15.

    Source: equation (2) with h = g^2
    """
    g = np.array([1e-3, 0.3, -200.0])
    return at_most(float(np.abs(walk(AdaGrad(), lambda w: g, np.zeros(3), 1)[1] + 0.01 * g / (np.abs(g) + 1e-7)).max()),
                   1e-15)


def steps_shrink_with_the_root() -> Check:
    """Under a constant gradient step t is lr / sqrt(t), to one part in a million over 400 steps.

    Source: h = t g^2
    """
    steps = -np.diff(walk(AdaGrad(), lambda w: np.full_like(w, 0.7), np.array(0.0), 400))
    return at_most(float(np.abs(steps / (0.01 / np.sqrt(np.arange(1, 401))) - 1).max()), 1e-6)


def steps_never_are_zero() -> Check:
    """After 100,000 steps under a constant gradient a step is still 0.00316 of the first one.

    Source: 1 / sqrt(100,000); the article says that a step that is once 0 never returns
    """
    rule, params = AdaGrad(), {"w": np.array(0.0)}
    rule.h["w"] = np.array(99_999 * 0.49)
    rule.update(params, {"w": np.array(0.7)})
    return about(float(-params["w"] / 0.01), 0.00316, 1e-5)


def the_regret_keeps_its_bound() -> Check:
    """Against random slopes in [-1, 1], 500 of them, the regret is at most sqrt(2) D times the norm of the gradients.

    Source: Duchi, Hazan, Singer 2011, theorem 5, one direction, D = 2 the width of the interval, lr = D / sqrt 2
    """
    draw, rule, params = np.random.default_rng(0), AdaGrad(2 / 2**0.5), {"w": np.array(0.5)}
    slopes, paid = draw.uniform(-1, 1, 500) + 0.1, 0.0
    for slope in slopes:
        paid += slope * float(params["w"])
        rule.update(params, {"w": np.array(slope)})
        np.clip(params["w"], -1, 1, out=params["w"])
    regret = paid + abs(slopes.sum())
    return at_most(regret / (2**0.5 * 2 * float(np.linalg.norm(slopes))), 1)


def rare_features_keep_their_rate() -> Check:
    """A direction with a gradient in one step of 100 makes a first step over 9 times the other's hundredth.

    Source: Duchi, Hazan, Singer 2011, section 1.1
    """
    rule, params, before = AdaGrad(), {"w": np.zeros(2)}, np.zeros(2)
    for step in range(100):
        before = params["w"].copy()
        rule.update(params, {"w": np.array([1.0, float(step == 99)])})
    often, rare = before - params["w"]
    return at_least(float(rare / often), 9)


CARD = Card(
    name="Update by AdaGrad",
    name_ja="AdaGrad の更新則",
    paper="Duchi, Hazan, Singer 2011, Adaptive subgradient methods, JMLR 12",
    equations=(r"h \leftarrow h + g \odot g", r"w \leftarrow w - \frac{\eta\, g}{\sqrt{h} + \epsilon}"),
    summary="Directions that had large gradients get small steps, rare ones keep their full rate.",
    summary_ja="大きな勾配を受けてきた方向の歩幅は小さくなり、まれな方向は元の歩幅を保つ。",
    topics=(),
    facts=(
        the_first_step_is_the_rate,
        steps_shrink_with_the_root,
        steps_never_are_zero,
        the_regret_keeps_its_bound,
        rare_features_keep_their_rate,
    ),
    notes=("The article's formula has a broken fraction as second factor of (1): it is the same gradient.",
           "eps stands outside of the root here and inside in the article's RMSProp formula; torch's default is 1e-10.",
           "The article says that a step that is once 0 never returns: it tends to 0 and never is."),
    notes_ja=("記事の式 (1) の第二の因子は分数が壊れているが、同じ勾配である。",
              "eps はここでは根号の外にあり、記事の RMSProp の式では内にある。torch の既定値は 1e-10 である。",
              "記事は一度 0 になった歩幅は戻らないと述べるが、0 に近づくだけで 0 にはならない。"),
)
