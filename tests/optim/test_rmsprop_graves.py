"""RMSpropGraves equals Graves 2013, equations (38) to (41), in every option."""

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it, without_native

from shinso.optim.rmsprop_graves import RMSpropGraves


def graves(w, lr=1e-4, alpha=0.95, momentum=0.9, eps=1e-4, weight_decay=0.0):
    """(38) n, (39) g, (40) Delta, (41) w"""
    n = g_bar = delta = np.zeros_like(w)
    while True:
        g = (yield w) + weight_decay * w
        n = alpha * n + (1 - alpha) * g**2
        g_bar = alpha * g_bar + (1 - alpha) * g
        delta = momentum * delta - lr * g / np.sqrt(n - g_bar**2 + eps)
        w = w + delta


@pytest.mark.parametrize("options", [
    {}, {"lr": 1e-3, "alpha": 0.5, "momentum": 0.0}, {"eps": 1e-2, "weight_decay": 0.1},
])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(RMSpropGraves, graves, options)


def test_maximize_goes_up():
    follows(RMSpropGraves, graves, {}, maximize=True)


def test_it_goes_on_where_it_was_saved():
    goes_on(RMSpropGraves, {})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(RMSpropGraves, {"lr": 0.01})


def test_without_the_guard_a_constant_gradient_is_no_number():
    n = m = torch.zeros(())
    found = []
    for _ in range(300):
        g = torch.tensor(30_000.3)
        n, m = 0.95 * n + 0.05 * g * g, 0.95 * m + 0.05 * g
        found.append(torch.sqrt(n - m * m + 1e-4))
    assert torch.stack(found).isnan().any()


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"alpha": 1.0}, "Invalid alpha value: 1.0"),
    ({"momentum": -0.1}, "Invalid momentum value: -0.1"), ({"eps": 0.0}, "Invalid epsilon value: 0.0"),
    ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        RMSpropGraves([torch.zeros(2, requires_grad=True)], **options)
