"""AdaGrad equals the paper in NumPy, with torch's decay of the rate and eps outside of the root."""

import numpy as np
import pytest
from streams import follows

from shinso.optim.adagrad import Adagrad


def adagrad(w, lr=0.01, lr_decay=0.0, eps=1e-10, initial_accumulator_value=0.0):
    h, t = np.full_like(w, initial_accumulator_value), 0
    while True:
        g = np.array((yield w))
        h = h + g * g
        w, t = w - lr / (1 + t * lr_decay) * g / (np.sqrt(h) + eps), t + 1


@pytest.mark.parametrize("options", [{}, {"lr": 0.5, "lr_decay": 0.1}, {"initial_accumulator_value": 0.1, "eps": 1e-7}])
def test_three_hundred_steps_equal_the_papers(options):
    follows(Adagrad, adagrad, options)
