"""torch's plateau drives an optimiser of this package."""

import torch

from shinso.optim.lion import Lion
from shinso.optim.plateau import Plateau


def test_the_class_is_torchs():
    assert Plateau is torch.optim.lr_scheduler.ReduceLROnPlateau


def test_a_loop_lowers_the_rate_of_lion_until_it_can_settle():
    """Every entry moves by the rate, so at a constant one it comes no nearer than 0.03 to the minimum."""
    ends = []
    for lowered in (False, True):
        w = torch.full((3,), 1.03, requires_grad=True)
        optimiser = Lion([w], lr=0.1, betas=(0.0, 0.0))
        scheduler = Plateau(optimiser, patience=4, factor=0.5)
        for _ in range(300):
            optimiser.zero_grad()
            loss = w.square().sum()
            loss.backward()
            optimiser.step()
            if lowered:
                scheduler.step(loss.item())
        ends.append(float(w.detach().abs().max()))
    assert ends[0] >= 0.029 and ends[1] < 1e-4
