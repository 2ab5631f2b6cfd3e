"""torch's averaged model works over an optimiser of this package, whose weights may lie end to end."""

import torch
from torch import nn

from shinso.optim.sgd import SGD
from shinso.optim.swa import SWA, update_bn


def test_it_is_torchs():
    assert SWA is torch.optim.swa_utils.AveragedModel and update_bn is torch.optim.swa_utils.update_bn


def test_a_flattened_run_is_averaged_as_any_other():
    ends = []
    for flat in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(3, 1).double()
        swa, optimiser = SWA(model), SGD(model.parameters(), lr=0.1)
        if flat:
            optimiser.flatten()
        for _ in range(20):
            optimiser.zero_grad()
            model(torch.randn(8, 3, dtype=torch.float64)).square().mean().backward()
            optimiser.step()
            swa.update_parameters(model)
        ends.append(swa.module.weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-14)
    assert swa.n_averaged == 20
