r"""Nesterov's momentum: look where the velocity leads, and take the gradient there.

    v' = a v - lr grad L(theta + a v),   theta' = theta + v'                    (1)
    Theta = theta + a v                                                         (2)
    v' = a v - lr grad L(Theta),   Theta' = Theta - a v + (1 + a) v'            (3)
    Theta' = Theta + a v' - lr grad L(Theta)                                    (4)

(1) needs the gradient at a place where the weights are not. The surprise: keep that place instead of theta, and it is
(3), which needs no look-ahead at all; (4) is (3) with a v = v' + lr grad L put in, and what is done here. So the
gradients given must be those at the parameters as they stand: to look ahead once more would count it twice.

Nesterov 1983; Sutskever et al. 2013 (1); Bengio, Boulanger-Lewandowski, Pascanu 2013 (3).
"""

from typing import final

import numpy as np

from shinso.autodiff.byhand._updates import Arrays, Memory, Scratch, pairs, walk
from shinso.core.card import Card, Check, at_least, at_most

_CURVATURES = np.array([1.0, 100.0])


@final
class Nesterov:
    """(4) in place; `velocity` holds v by the parameters' names, the parameters are Theta."""

    def __init__(self, lr: float = 0.01, momentum: float = 0.9):
        self.lr, self.momentum = lr, momentum
        self.velocity, self.scratch = Memory(), Scratch()

    def update(self, params: Arrays, grads: Arrays) -> None:
        for name, weight, grad in pairs(params, grads):
            v, step = self.velocity.of(name, weight), self.scratch.like(weight)
            np.multiply(grad, self.lr, out=step)
            v *= self.momentum
            v -= step  # (3)
            np.subtract(weight, step, out=weight)
            np.multiply(v, self.momentum, out=step)
            np.add(weight, step, out=weight)  # (4)


def _slope(w: np.ndarray) -> np.ndarray:
    return w * _CURVATURES


def the_articles_code_is_this() -> Check:
    """300 steps of params += -a v_before + (1 + a) v and of (4) differ by at most 1e-13.

    Source: the article's class; equations (3) and (4)
    """
    w, v, points = np.array([1.0, 1.0]), np.zeros(2), [np.array([1.0, 1.0])]
    for _ in range(300):
        before = v
        v = 0.9 * v - 0.01 * _slope(w)
        w = w - 0.9 * before + (1 + 0.9) * v
        points.append(w)
    return at_most(float(np.abs(walk(Nesterov(), _slope, np.ones(2), 300) - points).max()), 1e-13)


def formula_and_code_agree_one_place_ahead() -> Check:
    """At each of 300 steps the parameters are theta + a v of the formula (1), to 1e-13.

    Source: equation (2)
    """
    theta, v, ahead = np.ones(2), np.zeros(2), [np.ones(2)]
    for _ in range(300):
        v = 0.9 * v - 0.01 * _slope(theta + 0.9 * v)
        theta = theta + v
        ahead.append(theta + 0.9 * v)
    return at_most(float(np.abs(walk(Nesterov(), _slope, np.ones(2), 300) - ahead).max()), 1e-13)


def looking_ahead_twice_is_another_walk() -> Check:
    """With gradients taken at the parameters + a v the walk is off by more than a tenth somewhere in 50 steps.

    Source: the parameters are already theta + a v
    """
    twice, params, path = Nesterov(), {"w": np.ones(2)}, [np.ones(2)]
    for _ in range(50):
        ahead = params["w"] + 0.9 * twice.velocity.of("w", params["w"])
        twice.update(params, {"w": _slope(ahead)})
        path.append(params["w"].copy())
    return at_least(float(np.abs(walk(Nesterov(), _slope, np.ones(2), 50) - path).max()), 0.1)


def the_first_step_is_longer() -> Check:
    """The first step from rest is -(1 + a) lr g: 1.9 times the plain one, to 1e-15.

    Source: equation (3) with v = 0
    """
    path = walk(Nesterov(), lambda w: np.full_like(w, 3), np.array(0.0), 1)
    return at_most(abs(float(path[1]) + 1.9 * 0.01 * 3), 1e-15)


CARD = Card(
    name="Update with Nesterov's momentum",
    name_ja="Nesterov の加速勾配の更新則",
    paper="Nesterov 1983; Sutskever et al. 2013; Bengio, Boulanger-Lewandowski, Pascanu 2013, arXiv:1212.0901",
    equations=(
        r"v' = a v - \eta \nabla L(\theta + a v),\quad \theta' = \theta + v'",
        r"\Theta = \theta + a v",
        r"v' = a v - \eta \nabla L(\Theta),\quad \Theta' = \Theta - a v + (1 + a) v'",
        r"\Theta' = \Theta + a v' - \eta \nabla L(\Theta)",
    ),
    summary="Momentum whose gradient is taken where the velocity leads; the parameters are that place.",
    summary_ja="速度の行く先で勾配をとる Momentum。パラメータはその行く先の点である。",
    topics=(),
    facts=(
        the_articles_code_is_this,
        formula_and_code_agree_one_place_ahead,
        looking_ahead_twice_is_another_walk,
        the_first_step_is_longer,
    ),
    notes=("The article's code stores the looked-ahead point: with gradients at theta + a v again, the look-ahead "
           "counts "
           "twice.",
           'The slides write "Nesterov Accelerate Gradient"; Accelerated is meant.'),
    notes_ja=("記事のコードは先読みした点を保存している。さらに theta + a v で勾配をとると、先読みが二重になる。",
              "スライドの「Nesterov Accelerate Gradient」は Accelerated の誤記である。"),
)
