"""AdaDelta: a rate scales the step and not the memory of it; the article's accumulator turns negative."""

import numpy as np
import pytest

from shinso.autodiff.byhand.adadelta_update import AdaDelta


def test_the_rate_does_not_reach_the_memory():
    one, two = AdaDelta(1.0), AdaDelta(0.1)
    a, b = {"w": np.array([0.0])}, {"w": np.array([0.0])}
    for _ in range(5):
        one.update(a, {"w": np.array([0.7])})
        two.update(b, {"w": np.array([0.7])})
    assert one.r["w"] == two.r["w"]
    np.testing.assert_allclose(b["w"], 0.1 * a["w"], rtol=1e-14)


@pytest.mark.parametrize("g", [-0.3, -2.0])
def test_the_articles_accumulator_turns_negative(g):
    d = np.sqrt(1e-6) / np.sqrt(0.05 * g * g + 1e-6) * g
    assert 0.05 * d * d * g < 0
    params, rule = {"w": np.array([0.0])}, AdaDelta()
    rule.update(params, {"w": np.array([g])})
    assert rule.r["w"][0] == pytest.approx(0.05 * d * d, rel=1e-13) and params["w"][0] == pytest.approx(-d, rel=1e-13)
