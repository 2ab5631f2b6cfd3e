"""RMSProp equals its equations in NumPy, centred or not, with momentum or not."""

import numpy as np
import pytest
from streams import follows

from shinso.optim.rmsprop import RMSprop


def rmsprop(w, lr=0.01, alpha=0.99, eps=1e-8, momentum=0.0, centered=False):
    h = m = b = np.zeros_like(w)
    while True:
        g = np.array((yield w))
        h = alpha * h + (1 - alpha) * g * g
        m = alpha * m + (1 - alpha) * g
        b = momentum * b + g / (np.sqrt(h - centered * m * m) + eps)
        w = w - lr * b


@pytest.mark.parametrize("options", [
    {}, {"alpha": 0.9, "eps": 1e-3}, {"momentum": 0.5}, {"centered": True}, {"centered": True, "momentum": 0.5},
])
def test_three_hundred_steps_equal_the_equations(options):
    follows(RMSprop, rmsprop, options)
