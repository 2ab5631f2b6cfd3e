r"""AdaDelta: a step in the units of the weights, without a rate.

    h <- p h + (1 - p) g g                                    (1)
    d = - sqrt(r + eps) / sqrt(h + eps) g,   w <- w + d       (2)
    r <- p r + (1 - p) d d                                    (3)

r remembers the steps as h remembers the gradients; their ratio times g has the units of a step, which lr g has not:
weights and loss measured c times as large give steps c times as large. The surprise is how it gets going: r begins
at 0, so the first step is a few sqrt(eps), and the steps feed on themselves.

Zeiler 2012.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._updates import Arrays, Memory, Scratch, pairs, toward, walk
from shinso.core.card import Card, Check, about, at_least, at_most, exactly


@final
class AdaDelta:
    """(1) to (3) in place; `h` and `r` by the parameters' names; `lr` scales d in (2), 1 in the paper."""

    def __init__(self, lr: float = 1.0, rho: float = 0.95, eps: float = 1e-6):
        self.lr, self.rho, self.eps = lr, rho, eps
        self.h, self.r, self.scratch, self.second = Memory(), Memory(), Scratch(), Scratch()

    def update(self, params: Arrays, grads: Arrays) -> None:
        for name, weight, grad in pairs(params, grads):
            h, r = self.h.of(name, weight), self.r.of(name, weight)
            d, root = self.scratch.like(weight), self.second.like(weight)
            np.multiply(grad, grad, out=d)
            toward(h, d, 1 - self.rho)  # (1)
            np.add(r, self.eps, out=d)
            np.add(h, self.eps, out=root)
            np.divide(d, root, out=d)
            np.sqrt(d, out=d)
            d *= grad  # (2) without its sign
            np.multiply(d, self.lr, out=root)
            np.subtract(weight, root, out=weight)
            np.multiply(d, d, out=d)
            toward(r, d, 1 - self.rho)  # (3)


def the_first_step() -> Check:
    """For g = 0.3 the first step is -0.0044716391, to 1e-10.

    Source: -sqrt(eps) / sqrt(eps + (1 - p) g^2) g with p = 0.95 and eps = 1e-6
    """
    return about(float(walk(AdaDelta(), lambda w: np.array(0.3), np.array(0.0), 1)[1]), -0.0044716391, 1e-10)


def steps_have_the_units_of_the_weights() -> Check:
    """Weights and loss scaled by 8 give the same 100 steps, 8 times as long, to 1e-8, where eps is negligible.

    Source: Zeiler 2012, section 3.2; with L'(w') = 8 L(w'/8) the gradients are the same
    """
    def slope(w: np.ndarray) -> np.ndarray:
        return np.cos(w) + w

    one, big = AdaDelta(eps=1e-12), AdaDelta(eps=1e-12)
    one.r["w"], big.r["w"] = np.array(0.01), np.array(0.64)
    plain = walk(one, slope, np.array(2.0), 100)
    scaled = walk(big, lambda w: slope(w / 8), np.array(16.0), 100)
    return at_most(float(np.abs(scaled - 8 * plain).max()), 1e-8)


def the_articles_accumulator_breaks() -> Check:
    """With (1 - p) d d g for (3), as in the article's code, a gradient of -2 makes r negative, and step 2 is nan.

    Source: the article's class, its line for r as printed
    """
    h = r = d = 0.0
    g = -2.0
    for _ in range(2):
        h = 0.95 * h + 0.05 * g * g
        with np.errstate(invalid="ignore"):
            d = -np.sqrt(r + 1e-6) / np.sqrt(h + 1e-6) * g
        r = 0.95 * r + 0.05 * d * d * g
    ours = walk(AdaDelta(), lambda w: np.array(g), np.array(0.0), 2)
    return exactly(float(np.isnan(d)) * bool(np.isfinite(ours).all()), 1)


def steps_feed_on_themselves() -> Check:
    """After 100 steps under a constant gradient sqrt(r + eps) is over 3 times the sqrt(eps) that it began with.

    Source: r grows with every step in (3)
    """
    rule = AdaDelta()
    walk(rule, lambda w: np.full_like(w, 0.3), np.array(0.0), 100)
    return at_least(float(np.sqrt(rule.r["w"] + 1e-6) / 1e-3), 3)


CARD = Card(
    name="Update by AdaDelta",
    name_ja="AdaDelta の更新則",
    paper="Zeiler 2012, ADADELTA: an adaptive learning rate method, arXiv:1212.5701",
    equations=(
        r"h \leftarrow \rho h + (1 - \rho)\, g \odot g",
        r"d = -\frac{\sqrt{r + \epsilon}}{\sqrt{h + \epsilon}}\, g,\quad w \leftarrow w + d",
        r"r \leftarrow \rho r + (1 - \rho)\, d \odot d",
    ),
    summary="A step in the units of the weights, from the sizes of steps and gradients before, without a rate.",
    summary_ja="過去の歩みと勾配の大きさの比から、重みの単位で歩幅を決める。学習率はいらない。",
    topics=(),
    facts=(
        the_first_step,
        steps_have_the_units_of_the_weights,
        the_articles_accumulator_breaks,
        steps_feed_on_themselves,
    ),
    notes=("The article's code multiplies the term of (3) by the gradient: r turns negative, and the second step is "
           "nan when g is below -1.",),
    notes_ja=("記事のコードは式 (3) の項に勾配を掛けている。r が負になり、g が -1 より小さいと二歩目は nan になる。",),
)
