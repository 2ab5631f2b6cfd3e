"""NAdam equals the paper's algorithm in NumPy; torch keeps the product of the momenta in float32."""

import numpy as np
import pytest
from streams import follows

from shinso.optim.nadam import NAdam


def nadam(w, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3):
    m, v, t, product = np.zeros_like(w), np.zeros_like(w), 0, np.float32(1)
    while True:
        g, t = np.array((yield w)), t + 1
        now, after = (betas[0] * (1 - 0.5 * 0.96 ** (k * momentum_decay)) for k in (t, t + 1))
        product = product * np.float32(now)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        ahead = after * m / (1 - float(product) * after) + (1 - now) * g / (1 - float(product))
        w = w - lr * ahead / (np.sqrt(v / (1 - betas[1] ** t)) + eps)


@pytest.mark.parametrize("options", [{}, {"betas": (0.5, 0.9)}, {"lr": 0.1, "momentum_decay": 0.1}])
def test_three_hundred_steps_equal_the_papers(options):
    follows(NAdam, nadam, options)
