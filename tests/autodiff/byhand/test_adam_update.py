"""The article's class of Adam, written out as it stands there, and torch's form."""

import numpy as np
import pytest

from shinso.autodiff.byhand.adam_update import Adam


def test_folded_is_the_articles_class():
    rule, params = Adam(0.001, (0.9, 0.999), 1e-7, folded=True), {"w": np.array([1.0, -2.0])}
    w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t in range(1, 301):
        g = np.sin(3 * w)
        rule.update(params, {"w": np.sin(3 * params["w"])})
        rate = 0.001 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        m += (1 - 0.9) * (g - m)
        v += (1 - 0.999) * (g * g - v)
        w = w - rate * m / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(params["w"], w, atol=1e-13)


def test_the_two_placements_of_eps_differ_most_at_the_start():
    gaps = []
    for steps in (1, 5000):
        ways = []
        for folded in (False, True):
            rule = Adam(eps=1e-3, folded=folded)
            rule.t = steps - 1
            rule.m["w"], rule.v["w"] = np.array([(1 - 0.9**rule.t) * 0.01]), np.array([(1 - 0.999**rule.t) * 1e-4])
            params = {"w": np.array([0.0])}
            rule.update(params, {"w": np.array([0.01])})
            ways.append(float(params["w"][0]))
        gaps.append(ways[0] / ways[1])
    assert gaps[0] > 3 and gaps[1] == pytest.approx(1, abs=1e-3)
