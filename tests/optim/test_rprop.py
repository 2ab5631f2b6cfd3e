"""Rprop equals the paper's table of step lengths, in NumPy; it takes no notice of a gradient's size."""

import numpy as np
import pytest
from streams import follows

from shinso.optim.rprop import Rprop


def rprop(w, lr=0.01, etas=(0.5, 1.2), step_sizes=(1e-6, 50)):
    before, size = np.zeros_like(w), np.full_like(w, lr)
    while True:
        g = np.array((yield w))
        agrees = g * before
        size = np.clip(size * np.choose(np.sign(agrees).astype(int) + 1, [etas[0], 1, etas[1]]), *step_sizes)
        g = np.where(agrees < 0, 0, g)
        w, before = w - np.sign(g) * size, g


@pytest.mark.parametrize("options", [{}, {"etas": (0.4, 1.5)}, {"step_sizes": (1e-3, 0.05)}])
def test_three_hundred_steps_equal_the_papers(options):
    follows(Rprop, rprop, options)
