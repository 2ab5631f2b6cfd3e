r"""Momentum: the steps before push on.

    v <- a v - lr dL/dw                                       (1)
    w <- w + v                                                (2)

v is a velocity that friction (1 - a) slows. Under an even slope g it grows to -lr g / (1 - a), ten times the plain step
for a = 0.9; where the gradient changes its sign at every step, v hardly moves. The surprise: on a quadratic of
condition number k the best a and lr need about sqrt(k) steps where plain descent needs k.

Here the rate stands inside v. torch keeps it outside (v <- a v + dL/dw, w <- w - lr v): while the rate is constant
that is the same walk; when the rate changes, here the old pushes keep their old length.

Polyak 1964.
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._updates import Arrays, Memory, Scratch, pairs, walk
from shinso.core.card import Card, Check, about, at_least, at_most


@final
class Momentum:
    """(1) and (2) in place; `velocity` holds v by the parameters' names."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9):
        self.lr, self.momentum = lr, momentum
        self.velocity, self.scratch = Memory(), Scratch()

    def update(self, params: Arrays, grads: Arrays) -> None:
        for name, weight, grad in pairs(params, grads):
            v, step = self.velocity.of(name, weight), self.scratch.like(weight)
            np.multiply(grad, self.lr, out=step)
            v *= self.momentum
            v -= step  # (1)
            np.add(weight, v, out=weight)  # (2)


def the_velocity_has_a_limit() -> Check:
    """Under a constant gradient of 3 with lr 0.01 and a 0.9 the velocity tends to -0.3, to 1e-12 after 400 steps.

    Source: v = a v - lr g has the fixed point -lr g / (1 - a)
    """
    path = walk(Momentum(), lambda w: np.full_like(w, 3), np.array(0.0), 400)
    return about(float(path[-1] - path[-2]), -0.3, 1e-12)


def the_best_heavy_ball_takes_the_root() -> Check:
    """On curvatures 1 and 100 with Polyak's lr and a the error shrinks by a factor 9/11 a step over 200 steps, to 0.01.

    Source: Polyak 1964: (sqrt k - 1)/(sqrt k + 1) with k = 100; plain descent has at best 99/101
    """
    lr, a = (2 / (10 + 1)) ** 2, (9 / 11) ** 2
    path = walk(Momentum(lr, a), lambda w: w * [1, 100], np.array([1.0, 1.0]), 200)
    errors = np.linalg.norm(path, axis=1)
    return about(float((errors[200] / errors[100]) ** 0.01), 9 / 11, 0.01)


def a_changing_rate_parts_the_two_forms() -> Check:
    """With the rate halved after 5 of 10 steps, torch's form ends elsewhere, by more than a tenth of the way.

    Source: here old gradients keep the rate they came with
    """
    inside, w, v, slope = Momentum(0.1), np.array(1.0), 0.0, 0.5
    params = {"w": np.array(1.0)}
    for step in range(10):
        inside.lr = 0.1 if step < 5 else 0.05
        inside.update(params, {"w": np.array(slope)})
        v = 0.9 * v + slope
        w = w - inside.lr * v
    return at_least(float(abs(params["w"] - w) / abs(1 - w)), 0.1)


def without_momentum_it_is_plain_descent() -> Check:
    """With a = 0 the exercise's 2 * 0.6^t is walked, to 1e-15.

    Source: equation (1)
    """
    path = walk(Momentum(0.2, 0.0), lambda s: 2 * s, np.array(2.0), 20)
    return at_most(float(np.abs(path - 2 * 0.6 ** np.arange(21)).max()), 1e-15)


CARD = Card(
    name="Update with momentum",
    name_ja="Momentum SGD の更新則",
    paper="Polyak 1964, Some methods of speeding up the convergence of iteration methods",
    equations=(r"v \leftarrow a v - \eta \frac{\partial L}{\partial w}", r"w \leftarrow w + v"),
    summary="The steps before push on: slow valleys are crossed faster and zigzags cancel.",
    summary_ja="以前の歩みが後押しする。緩やかな谷を速く渡り、ジグザグは打ち消される。",
    topics=(),
    facts=(
        the_velocity_has_a_limit,
        the_best_heavy_ball_takes_the_root,
        a_changing_rate_parts_the_two_forms,
        without_momentum_it_is_plain_descent,
    ),
    notes=("The rate stands inside the velocity here and outside in torch: the two part when the rate changes.",
           "The article loops over params.key(), which a dict does not have."),
    notes_ja=("学習率は、ここでは速度の内側、torch では外側にある。学習率を変えると両者は別れる。",
              "記事は params.key() を回すが、辞書にそのような属性はない。"),
)
