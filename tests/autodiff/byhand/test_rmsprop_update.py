"""RMSProp's two forms against their formulas."""

import numpy as np
import pytest

from shinso.autodiff.byhand.rmsprop_update import RMSProp


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("eps", [1e-7, 1e-2])
def test_50_steps_are_those_of_the_formula(inside, eps):
    rule, params = RMSProp(0.01, 0.9, eps, inside=inside), {"w": np.array(1.0)}
    w, h = 1.0, 0.0
    for _ in range(50):
        g = np.sin(3 * w)
        rule.update(params, {"w": np.array(np.sin(3 * params["w"]))})
        h = 0.9 * h + 0.1 * g * g
        w -= 0.01 * g / (np.sqrt(h + eps) if inside else np.sqrt(h) + eps)
    assert float(params["w"]) == pytest.approx(w, abs=1e-13)
