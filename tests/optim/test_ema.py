"""An averaged copy follows any model, also one whose weights lie end to end, and takes nothing away from it."""

import pytest
import torch
from torch import nn

from shinso.optim.adam import Adam
from shinso.optim.ema import EMA


def trained(flat, steps=30, decay=0.9):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)).double()
    ema = EMA(model, decay)
    optimiser = Adam(model.parameters(), lr=0.01)
    if flat:
        optimiser.flatten()
    x = torch.randn(64, 4, dtype=torch.float64)
    visited = []
    for _ in range(steps):
        optimiser.zero_grad()
        (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimiser.step()
        ema.update()
        visited.append([w.detach().clone() for w in model.parameters()])
    return model, ema, visited


@pytest.mark.parametrize("flat", [False, True])
def test_the_average_is_equation_one(flat):
    _, ema, visited = trained(flat)
    for k, average in enumerate(ema.model.parameters()):
        expected = visited[0][k]
        for weights in visited[1:]:
            expected = 0.9 * expected + 0.1 * weights[k]
        torch.testing.assert_close(average, expected, rtol=1e-12, atol=1e-14)
        assert not average.requires_grad


def test_buffers_are_the_models():
    model, ema, _ = trained(flat=False)
    assert torch.equal(ema.model[1].running_mean, model[1].running_mean)
    assert ema.model[1].num_batches_tracked == 30


def test_an_error_inside_the_exchange_gives_the_weights_back():
    model, ema, visited = trained(flat=True)
    with pytest.raises(ZeroDivisionError), ema.swapped():
        assert not torch.equal(model[0].weight, visited[-1][0])
        raise ZeroDivisionError
    assert all(torch.equal(w, last) for w, last in zip(model.parameters(), visited[-1], strict=True))


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2])
def test_an_impossible_decay_is_refused(decay):
    with pytest.raises(ValueError, match=f"Invalid decay value: {decay}"):
        EMA(nn.Linear(1, 1), decay)
