"""AdaMax equals the paper's algorithm 2 in NumPy, with torch's eps inside of the maximum."""

import numpy as np
import pytest
from streams import follows

from shinso.optim.adamax import Adamax


def adamax(w, lr=2e-3, betas=(0.9, 0.999), eps=1e-8):
    m, u, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        g, t = np.array((yield w)), t + 1
        m = betas[0] * m + (1 - betas[0]) * g
        u = np.maximum(betas[1] * u, np.abs(g) + eps)
        w = w - lr / (1 - betas[0] ** t) * m / u


@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.9)}, {"lr": 0.1, "eps": 1e-2}])
def test_three_hundred_steps_equal_the_papers(options):
    follows(Adamax, adamax, options)
