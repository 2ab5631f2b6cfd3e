"""Where momentum here and in torch part."""

import numpy as np
import torch

from shinso.autodiff.byhand.momentum_update import Momentum


def test_it_is_torchs_until_the_rate_changes():
    rule, params = Momentum(0.1), {"w": np.array([1.0])}
    theirs = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([theirs], 0.1, momentum=0.9)
    gaps = []
    for step in range(10):
        rule.lr = optimiser.param_groups[0]["lr"] = 0.1 if step < 5 else 0.05
        rule.update(params, {"w": np.array([0.5])})
        theirs.grad = torch.tensor([0.5], dtype=torch.float64)
        optimiser.step()
        gaps.append(abs(float(params["w"][0]) - theirs.item()))
    assert max(gaps[:5]) < 1e-14 and min(gaps[5:]) > 1e-3


def test_the_velocity_is_the_last_step():
    rule, params = Momentum(), {"w": np.array([1.0, 2.0])}
    for _ in range(3):
        before = params["w"].copy()
        rule.update(params, {"w": np.array([0.3, -1.0])})
    np.testing.assert_allclose(params["w"] - before, rule.velocity["w"], atol=1e-16)
