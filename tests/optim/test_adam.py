"""Adam equals the paper's algorithm 1 in NumPy, and AMSGrad beside it."""

import numpy as np
import pytest
from streams import follows

from shinso.optim.adam import Adam


def adam(w, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, amsgrad=False):
    m, v, most, t = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w), 0
    while True:
        g, t = np.array((yield w)), t + 1
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        most = np.maximum(most, v) if amsgrad else v
        w = w - lr * m / (1 - betas[0] ** t) / (np.sqrt(most / (1 - betas[1] ** t)) + eps)


@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.9), "eps": 1e-4}, {"lr": 0.1, "amsgrad": True}])
def test_three_hundred_steps_equal_the_papers(options):
    follows(Adam, adam, options)
