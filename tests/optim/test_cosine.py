"""The cosine schedule at its ends, beside torch's, and at any length of a run."""

import pytest
import torch

from shinso.optim.cosine import Cosine, cosine


def test_it_starts_at_one_and_ends_at_nothing():
    assert cosine(0) == 1 and cosine(1) == 0 and cosine(0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("steps", [1, 2, 17, 1000])
def test_it_is_torchs_at_any_length(steps):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = Cosine(optimiser, T_max=steps)
    for t in range(steps):
        assert optimiser.param_groups[0]["lr"] == pytest.approx(0.3 * cosine(t / steps), abs=1e-13)
        optimiser.step()
        scheduler.step()
