"""SGD equals its equations in NumPy: momentum, dampening, Nesterov."""

import numpy as np
import pytest
from streams import follows

from shinso.optim.sgd import SGD


def sgd(w, lr=1e-3, momentum=0.0, dampening=0.0, nesterov=False):
    v = None
    while True:
        g = np.array((yield w))
        v = g if v is None else momentum * v + (1 - dampening) * g
        w = w - lr * (g + momentum * v if nesterov else v if momentum else g)


@pytest.mark.parametrize("options", [
    {"lr": 0.05}, {"lr": 0.01, "momentum": 0.9}, {"lr": 0.01, "momentum": 0.5, "dampening": 0.3},
    {"lr": 0.01, "momentum": 0.9, "nesterov": True},
])
def test_three_hundred_steps_equal_the_equations(options):
    follows(SGD, sgd, options)
