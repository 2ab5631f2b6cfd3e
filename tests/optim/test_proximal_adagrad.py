"""ProximalAdagrad equals composite mirror descent with AdaGrad's diagonal: Duchi, Hazan and Singer 2011, (4)."""

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it, without_native

from shinso.optim.proximal_adagrad import ProximalAdagrad


def mirror(w, lr=1e-2, l1=0.0, l2=0.0, initial_accumulator_value=0.1):
    """(4): argmin_u lr g u + lr (l1 |u| + l2/2 u^2) + 1/2 H (u - w)^2 with H = sqrt(S), solved for u"""
    total = np.full_like(w, initial_accumulator_value)
    while True:
        g = yield w
        total = total + g**2
        H = np.sqrt(total)
        slope = H * w - lr * g
        w = np.sign(slope) * np.clip(np.abs(slope) - lr * l1, 0, None) / (H + lr * l2)


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "l1": 2.0}, {"lr": 1.0, "l1": 1.0, "l2": 3.0, "initial_accumulator_value": 1e-3},
])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(ProximalAdagrad, mirror, options)


def test_maximize_goes_up():
    follows(ProximalAdagrad, mirror, {"l1": 0.1}, maximize=True)


def test_it_goes_on_where_it_was_saved():
    goes_on(ProximalAdagrad, {"lr": 0.05, "l1": 0.1})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(ProximalAdagrad, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"l1": -1}, "Invalid l1 value: -1"),
    ({"l2": -1}, "Invalid l2 value: -1"),
    ({"initial_accumulator_value": 0.0}, "Invalid initial_accumulator_value value: 0.0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        ProximalAdagrad([torch.zeros(2, requires_grad=True)], **options)
