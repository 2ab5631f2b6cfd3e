"""AdagradDA equals Duchi, Hazan and Singer 2011, equation (3), and the first three steps worked out by hand."""

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it, without_native

from shinso.optim.adagrad_da import AdagradDA


def dual_averaging(w, lr=1e-2, l1=0.0, l2=0.0, initial_accumulator_value=0.1, centred=False):
    """(3): argmin_u lr G u + lr t (l1 |u| + l2/2 u^2) + 1/2 sqrt(S) u^2, solved for u from the whole history"""
    start, history = w if centred else 0.0, []
    while True:
        history.append((yield w))
        t, G = len(history), np.sum(history, axis=0)
        H = np.sqrt(initial_accumulator_value + np.sum(np.square(history), axis=0))
        above, below = G - t * l1, G + t * l1
        pull = np.where(above > 0, above, np.where(below < 0, below, 0.0))
        w = start - lr * pull / (H + lr * t * l2)


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.5, "l1": 0.1}, {"lr": 1.0, "l1": 0.1, "l2": 0.3, "initial_accumulator_value": 1e-3},
    {"lr": 0.5, "l1": 0.1, "l2": 0.1, "centred": True},
])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(AdagradDA, dual_averaging, options)


def test_the_first_three_steps_worked_out():
    """lr = 1/2, l1 = 1, l2 = 1/2, S = 7 at first, under g = 3, 3, -12, so that sqrt(S) = 4, 5, 13; w = 9 at first.

    1: G = 3,   w = -1/2 (3 - 1) / (1/4 + 4)   = -4/17
    2: G = 6,   w = -1/2 (6 - 2) / (2/4 + 5)   = -4/11
    3: G = -6,  w = +1/2 (6 - 3) / (3/4 + 13)  = 6/55
    """
    w = torch.full((1,), 9.0, dtype=torch.float64, requires_grad=True)
    optimiser = AdagradDA([w], lr=0.5, l1=1.0, l2=0.5, initial_accumulator_value=7.0)
    for g, value in ((3.0, -4 / 17), (3.0, -4 / 11), (-12.0, 6 / 55)):
        w.grad = torch.full_like(w, g)
        optimiser.step()
        assert w.item() == pytest.approx(value, abs=1e-15)


def test_maximize_goes_up():
    follows(AdagradDA, dual_averaging, {"l1": 0.1}, maximize=True)


@pytest.mark.parametrize("centred", [False, True])
def test_it_goes_on_where_it_was_saved(centred):
    goes_on(AdagradDA, {"lr": 0.05, "l1": 0.1, "centred": centred})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(AdagradDA, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"l1": -1}, "Invalid l1 value: -1"),
    ({"l2": -1}, "Invalid l2 value: -1"),
    ({"initial_accumulator_value": 0.0}, "Invalid initial_accumulator_value value: 0.0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        AdagradDA([torch.zeros(2, requires_grad=True)], **options)
