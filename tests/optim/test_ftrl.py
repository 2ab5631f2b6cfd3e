"""FTRL equals McMahan et al. 2013, Algorithm 1, and the first three steps worked out by hand."""

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it, without_native

from shinso.optim.ftrl import FTRL


def algorithm_1(w, lr=0.1, beta=1.0, l1=0.0, l2=0.0):
    """Line by line; z starts where the closed form gives w."""
    z = -(beta / lr + l2) * w - l1 * np.sign(w)
    n = np.zeros_like(w)
    while True:
        g = yield w
        sigma = (np.sqrt(n + g**2) - np.sqrt(n)) / lr
        z, n = z + g - sigma * w, n + g**2
        w = np.where(np.abs(z) <= l1, 0.0, -((beta + np.sqrt(n)) / lr + l2) ** -1 * (z - np.sign(z) * l1))


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("options", [{}, {"lr": 0.5, "l1": 2.0}, {"lr": 1.0, "beta": 0.1, "l1": 1.0, "l2": 3.0}])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, zero, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(FTRL, algorithm_1, options, zero=zero)


def test_the_first_three_steps_worked_out():
    """alpha = 1/2, beta = 1, l1 = 1, l2 = 2, from w = 0 under g = 3, 4, -12, so that sqrt(n) = 3, 5, 13.

    1: s = 6,   z = 3,                                 w = -(3 - 1) / (4/(1/2) + 2)       = -1/5
    2: s = 4,   z = 3 + 4 + 4/5 = 39/5,                w = -(39/5 - 1) / (6/(1/2) + 2)    = -17/35
    3: s = 16,  z = 39/5 - 12 + 16 (17/35) = 25/7,     w = -(25/7 - 1) / (14/(1/2) + 2)   = -3/35

    With l1 = 4 instead: z = 3 gives w = 0, then z = 7 gives -(7 - 4)/14 = -3/14, then z = 7 - 12 + 16 (3/14) = -11/7
    gives 0 again.
    """
    for l1, expected in ((1.0, (-1 / 5, -17 / 35, -3 / 35)), (4.0, (0.0, -3 / 14, 0.0))):
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimiser = FTRL([w], lr=0.5, beta=1.0, l1=l1, l2=2.0)
        for g, value in zip((3.0, 4.0, -12.0), expected, strict=True):
            w.grad = torch.full_like(w, g)
            optimiser.step()
            assert w.item() == pytest.approx(value, abs=1e-15)


def test_maximize_goes_up():
    follows(FTRL, algorithm_1, {"l1": 0.5}, maximize=True, zero=True)


def test_a_gradient_of_zero_moves_nothing():
    w = torch.tensor([2.0, -3.0, 0.0], dtype=torch.float64, requires_grad=True)
    w.grad = torch.zeros_like(w)
    FTRL([w], l1=1.0, l2=0.5).step()
    torch.testing.assert_close(w.detach(), torch.tensor([2.0, -3.0, 0.0], dtype=torch.float64), rtol=1e-14, atol=0)


def test_it_goes_on_where_it_was_saved():
    goes_on(FTRL, {"lr": 0.05, "l1": 0.1})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(FTRL, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"lr": 0.0}, "Invalid learning rate: 0.0"),
    ({"beta": -1}, "Invalid beta value: -1"), ({"l1": -1}, "Invalid l1 value: -1"),
    ({"l2": -1}, "Invalid l2 value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        FTRL([torch.zeros(2, requires_grad=True)], **options)
