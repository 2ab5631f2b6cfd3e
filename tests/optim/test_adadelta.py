"""AdaDelta equals the paper's algorithm 1 in NumPy."""

import numpy as np
import pytest
from streams import follows

from shinso.optim.adadelta import Adadelta


def adadelta(w, lr=1.0, rho=0.9, eps=1e-6):
    h = r = np.zeros_like(w)
    while True:
        g = np.array((yield w))
        h = rho * h + (1 - rho) * g * g
        d = np.sqrt(r + eps) / np.sqrt(h + eps) * g
        r = rho * r + (1 - rho) * d * d
        w = w - lr * d


@pytest.mark.parametrize("options", [{}, {"rho": 0.95}, {"lr": 0.5, "eps": 1e-3}])
def test_three_hundred_steps_equal_the_papers(options):
    follows(Adadelta, adadelta, options)
