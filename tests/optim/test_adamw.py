"""AdamW equals the paper's algorithm 2 in NumPy, with torch's product of rate and decay."""

import numpy as np
import pytest
from streams import follows, goes_on, is_used_as_torch_uses_it

from shinso.optim.adamw import AdamW


def adamw(w, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    m, v, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        g, t = np.array((yield w)), t + 1
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        ahead = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        w = w - lr * (ahead + weight_decay * w)


@pytest.mark.parametrize("options", [{}, {"lr": 0.1, "weight_decay": 0.5}, {"betas": (0.5, 0.9), "eps": 1e-4}])
def test_three_hundred_steps_equal_the_papers(options):
    follows(AdamW, adamw, options)


def test_it_goes_on_where_it_was_saved():
    goes_on(AdamW, {"lr": 0.01, "weight_decay": 0.1})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(AdamW, {"lr": 0.01})
