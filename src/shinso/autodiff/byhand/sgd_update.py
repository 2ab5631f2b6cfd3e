r"""Gradient descent: a step against the gradient.

    w <- w - lr dL/dw                                         (1)

Nothing more. What makes it stochastic is the gradient it is given: that of all examples, of one, or of a mini-batch,
whose mean points the same way on average. The surprise is how sharp its limit is: on a curvature c the error is
multiplied by 1 - lr c at every step, so it shrinks for 0 < lr < 2/c, alternates for ever at 2/c and explodes above.

Cauchy 1847; Robbins and Monro 1951.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._updates import Arrays, Scratch, pairs, walk
from shinso.core.card import Card, Check, at_least, at_most, exactly


@final
class SGD:
    """(1) for every named parameter, in place; `lr` may be changed between updates."""

    def __init__(self, lr: float = 0.01):
        self.lr, self.scratch = lr, Scratch()

    def update(self, params: Arrays, grads: Arrays) -> None:
        for _, weight, grad in pairs(params, grads):
            step = self.scratch.like(weight)
            np.multiply(grad, self.lr, out=step)
            np.subtract(weight, step, out=weight)  # (1)


def the_exercise_by_hand() -> Check:
    """On s^2 from 2 with rate 0.2 the steps are 2 * 0.6^t, to 1e-15 over 20 of them.

    Source: the course's exercise: 2, 1.2, 0.72, 0.432, ...
    """
    path = walk(SGD(0.2), lambda s: 2 * s, np.array(2.0), 20)
    return at_most(float(np.abs(path - 2 * 0.6 ** np.arange(21)).max()), 1e-15)


def two_rates_at_once() -> Check:
    """On x^2/2 + 5 y^2 from (4, 1) with 0.18 step 20 stands at 4 * 0.82^20 and (-0.8)^20, to 1e-14.

    Source: each axis has its own factor 1 - lr c, with c = 1 and 10
    """
    end = walk(SGD(0.18), lambda w: w * [1, 10], np.array([4.0, 1.0]), 20)[-1]
    return at_most(float(np.abs(end - [4 * 0.82**20, 0.8**20]).max()), 1e-14)


def at_the_limit_it_alternates() -> Check:
    """On 5 y^2 with rate 0.2 = 2/c the point is 1 and -1 in turns for 1000 steps, exactly.

    Source: 1 - lr c = -1
    """
    path = walk(SGD(0.2), lambda y: 10 * y, np.array(1.0), 1000)
    return exactly(float(np.abs(path - (-1.0) ** np.arange(1001)).max()), 0)


def plus_climbs() -> Check:
    """With + in place of - one step on s^2 from 2 raises the value from 4 to more than 7.

    Source: the slides' w + lr dL/dw is the step of rate -lr
    """
    return at_least(float(walk(SGD(-0.2), lambda s: 2 * s, np.array(2.0), 1)[-1] ** 2), 7)


CARD = Card(
    name="Update by gradient descent",
    name_ja="勾配降下法 (SGD) の更新則",
    paper="Cauchy 1847, Methode generale; Robbins and Monro 1951, A stochastic approximation method",
    equations=(r"w \leftarrow w - \eta \frac{\partial L}{\partial w}",),
    summary="A step against the gradient, as long as the learning rate says.",
    summary_ja="学習率の分だけ、勾配と逆向きに進む。",
    topics=(),
    facts=(the_exercise_by_hand, two_rates_at_once, at_the_limit_it_alternates, plus_climbs),
    notes=("The slides write w + lr dL/dw: that climbs.",
           "The article loops over params.key(), which a dict does not have (AttributeError), here and in five others.",
           "The article's second notation of SGD is the sum over all examples: that is full-batch descent."),
    notes_ja=("スライドは w + lr dL/dw と書くが、それでは登ってしまう。",
              "記事は params.key() を回すが、辞書にそのような属性はない (AttributeError)。ほかの五つのクラスでも同"
              "じである。",
              "記事の SGD の第二の表式は全事例の和であり、確率的ではない最急降下法である。"),
)
