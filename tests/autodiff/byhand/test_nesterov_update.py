"""Nesterov's momentum wins where it should: on a long valley it needs fewer steps than plain descent."""

import numpy as np

from shinso.autodiff.byhand._updates import walk
from shinso.autodiff.byhand.nesterov_update import Nesterov
from shinso.autodiff.byhand.sgd_update import SGD


def steps_until(rule, target):
    curvature = np.array([1.0, 400.0])
    path = walk(rule, lambda w: w * curvature, np.ones(2), 6000)
    return int(np.argmax((path**2 @ curvature) < target))


def test_on_condition_number_400_it_needs_less_than_a_fifth_of_the_steps():
    plain, fast = steps_until(SGD(1 / 400), 1e-8), steps_until(Nesterov(1 / 400, (20 - 1) / (20 + 1)), 1e-8)
    assert 0 < fast < plain / 5
