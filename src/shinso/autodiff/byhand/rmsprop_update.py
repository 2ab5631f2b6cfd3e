r"""RMSProp: AdaGrad that forgets.

    h <- r h + (1 - r) g g                                    (1)
    w <- w - lr g / (sqrt(h) + eps)                           (2)
    w <- w - lr g / sqrt(h + eps)                             (3)

h is a moving average, so old gradients fade and the steps do not die. (2) is the article's code and torch's, (3) the
article's formula (`inside=True`): they agree while g is large beside sqrt(eps) and differ by orders where it is not.
The surprise is the start: h begins at 0, so the first step is lr / sqrt(1 - r), ten times the rate for r = 0.99.

Tieleman and Hinton 2012.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._updates import Arrays, Memory, Scratch, pairs, toward, walk
from shinso.core.card import Card, Check, about, at_least, at_most


@final
class RMSProp:
    """(1) and (2), or (3) with `inside`, in place; `h` by the parameters' names."""

    def __init__(self, lr: float = 0.01, rho: float = 0.99, eps: float = 1e-7, *, inside: bool = False):
        self.lr, self.rho, self.eps, self.inside = lr, rho, eps, inside
        self.h, self.scratch = Memory(), Scratch()

    def update(self, params: Arrays, grads: Arrays) -> None:
        for name, weight, grad in pairs(params, grads):
            h, step = self.h.of(name, weight), self.scratch.like(weight)
            np.multiply(grad, grad, out=step)
            toward(h, step, 1 - self.rho)  # (1)
            if self.inside:
                np.add(h, self.eps, out=step)
                np.sqrt(step, out=step)
            else:
                np.sqrt(h, out=step)
                step += self.eps
            np.divide(grad, step, out=step)
            step *= self.lr
            np.subtract(weight, step, out=weight)  # (2), (3)


def the_first_step_is_ten_times_the_rate() -> Check:
    """With lr 0.01 and r 0.99 the first step is -0.1 sign(g), to one part in 100,000, for g = 0.3 and -20.

    Source: sqrt(h) = |g| sqrt(1 - r)
    """
    g = np.array([0.3, -20.0])
    return at_most(float(np.abs(walk(RMSProp(), lambda w: g, np.zeros(2), 1)[1] / (-0.1 * np.sign(g)) - 1).max()), 1e-5)


def steps_do_not_die() -> Check:
    """Under a constant gradient the step tends to lr itself: after 3000 steps it is 0.01, to 1e-8.

    Source: h tends to g^2
    """
    path = walk(RMSProp(), lambda w: np.full_like(w, 2), np.array(0.0), 3000)
    return about(float(path[-2] - path[-1]), 0.01, 1e-8)


def small_gradients_tell_where_eps_stands() -> Check:
    """At g = 1e-6 the first step of (2) is over 100 times that of (3); at g = 1 they differ by a thousandth at most.

    Source: sqrt(h) = 1e-7 beside eps = 1e-7 outside and sqrt(eps) = 3e-4 inside
    """
    def ratio(g: float) -> float:
        outside, inside = (walk(RMSProp(inside=way), lambda w: np.array(g), np.array(0.0), 1)[1]
                           for way in (False, True))
        return float(outside / inside)

    return at_least(ratio(1e-6) if abs(ratio(1) - 1) < 1e-3 else 0.0, 100)


def it_forgets() -> Check:
    """1000 steps after a gradient of 100 among ones, the step is back within a hundredth of where it was.

    Source: 0.99^1000 100^2 is below 1; AdaGrad's h would hold the 10,000 for ever
    """
    rule, params, before = RMSProp(), {"w": np.array(0.0)}, 0.0
    for grad in [1.0] * 2000 + [100.0] + [1.0] * 1000:
        before = float(params["w"])
        rule.update(params, {"w": np.array(grad)})
    return about((before - float(params["w"])) / 0.01, 1, 0.01)


CARD = Card(
    name="Update by RMSProp",
    name_ja="RMSProp の更新則",
    paper="Tieleman and Hinton 2012, Lecture 6.5, Neural networks for machine learning",
    equations=(
        r"h \leftarrow \rho h + (1 - \rho)\, g \odot g",
        r"w \leftarrow w - \frac{\eta\, g}{\sqrt{h} + \epsilon}",
        r"w \leftarrow w - \frac{\eta\, g}{\sqrt{h + \epsilon}}",
    ),
    summary="AdaGrad that forgets: gradients are divided by a moving average of their size.",
    summary_ja="忘れる AdaGrad。勾配をその大きさの移動平均で割る。",
    topics=(),
    facts=(
        the_first_step_is_ten_times_the_rate,
        steps_do_not_die,
        small_gradients_tell_where_eps_stands,
        it_forgets,
    ),
    notes=("The article's formula has eps inside the root, its code outside: where |g| is near eps, first steps differ "
           "by orders.",
           "The article loops over params.key(), which a dict does not have."),
    notes_ja=("記事の式では eps が根号の内に、コードでは外にある。|g| が eps に近いと最初の一歩は桁違いになる。",
              "記事は params.key() を回すが、辞書にそのような属性はない。"),
)
