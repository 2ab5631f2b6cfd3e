"""Lion equals Chen et al. 2023, Algorithm 2, in every option."""

import numpy as np
import pytest
import torch
from streams import follows, goes_on, is_used_as_torch_uses_it, without_native

from shinso.optim.lion import Lion


def chen(w, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    """Algorithm 2, line by line"""
    m = np.zeros_like(w)
    while True:
        g = yield w
        c = betas[0] * m + (1 - betas[0]) * g
        w = w - lr * (np.sign(c) + weight_decay * w)
        m = betas[1] * m + (1 - betas[1]) * g


@pytest.mark.parametrize("options", [{}, {"lr": 0.01, "betas": (0.0, 0.5)}, {"lr": 0.01, "weight_decay": 0.3}])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(Lion, chen, options)


def test_maximize_goes_up_and_decay_still_shrinks():
    follows(Lion, chen, {"weight_decay": 0.1, "lr": 0.01}, maximize=True)


def test_a_gradient_of_zero_moves_nothing():
    w = torch.ones(3, requires_grad=True)
    w.grad = torch.zeros(3)
    Lion([w]).step()
    assert torch.equal(w, torch.ones(3))


def test_it_goes_on_where_it_was_saved():
    goes_on(Lion, {"lr": 0.01, "weight_decay": 0.1})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(Lion, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
    ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        Lion([torch.zeros(2, requires_grad=True)], **options)
