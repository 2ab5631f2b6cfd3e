"""ScheduleFree equals Defazio et al. 2024, Algorithm 1 and its form with SGD, and its two modes lose nothing."""

import copy
from itertools import count

import numpy as np
import pytest
import torch
from streams import follows, give, goes_on, is_used_as_torch_uses_it, noises, parameters, stepped, without_native

from shinso.optim.schedule_free import ScheduleFree


def algorithm_1(y, lr=2.5e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, warmup=0, base="adam"):
    """Line by line; without v and its correction for SGD"""
    z, x, v, total = y, y, np.zeros_like(y), 0.0
    for t in count(1):
        g = yield (1 - betas[0]) * z + betas[0] * x
        y = (1 - betas[0]) * z + betas[0] * x
        gamma = lr * (min(1, t / warmup) if warmup else 1)
        if base == "adam":
            v = betas[1] * v + (1 - betas[1]) * g**2
            gamma *= np.sqrt(1 - betas[1] ** t)
            z = z - gamma * g / (np.sqrt(v) + eps) - gamma * weight_decay * y
        else:
            z = z - gamma * g - gamma * weight_decay * y
        total += gamma**2
        x = (1 - gamma**2 / total) * x + gamma**2 / total * z


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.1, "warmup": 40, "weight_decay": 0.1}, {"betas": (0.0, 0.9)}, {"betas": (1.0, 0.9), "eps": 1e-3},
    {"base": "sgd", "lr": 0.05}, {"base": "sgd", "lr": 0.05, "warmup": 100, "weight_decay": 0.2, "betas": (0.5, 0.0)},
])
@pytest.mark.parametrize("plain", [False, True])
def test_three_hundred_steps_equal_the_papers(options, plain, monkeypatch):
    if plain:
        without_native(monkeypatch)
    follows(ScheduleFree, algorithm_1, options)


def test_maximize_goes_up_and_decay_still_shrinks():
    follows(ScheduleFree, algorithm_1, {"weight_decay": 0.1, "lr": 0.01}, maximize=True)


def test_a_rate_that_a_scheduler_sets_weighs_the_average():
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = ScheduleFree([w], lr=1.0, base="sgd", betas=(0.0, 0.0))
    for lr in (1.0, 2.0):
        optimiser.param_groups[0]["lr"] = lr
        w.grad = torch.ones_like(w)
        optimiser.step()
    optimiser.eval()
    assert w.item() == pytest.approx((1 * -1 + 4 * -3) / 5, abs=1e-15)


@pytest.mark.parametrize("options", [{"lr": 0.01}, {"lr": 0.01, "base": "sgd", "warmup": 5}])
def test_it_goes_on_where_it_was_saved(options):
    goes_on(ScheduleFree, options)


@pytest.mark.parametrize("looking", [False, True])
def test_a_state_taken_in_either_mode_goes_on_bit_by_bit(looking):
    whole, first = parameters(), parameters()
    for _ in stepped(whole, ScheduleFree(whole.values(), lr=0.01), noises(20)):
        pass
    begun = ScheduleFree(first.values(), lr=0.01)
    for _ in stepped(first, begun, noises(20)[:7]):
        pass
    if looking:
        begun.eval()
    second = copy.deepcopy(first)
    again = ScheduleFree(second.values())
    again.load_state_dict(copy.deepcopy(begun.state_dict()))
    if looking:
        averages = [begun.state[w]["x"] for w in first.values()]
        assert all(torch.equal(w, x) for w, x in zip(second.values(), averages, strict=True))
    again.train()
    for _ in stepped(second, again, noises(20)[7:]):
        pass
    assert all(torch.equal(whole[name], second[name]) for name in whole)
    assert not any("y" in state for state in again.state.values())


def test_modes_may_be_said_twice_and_before_the_first_step():
    weights = parameters()
    optimiser = ScheduleFree(weights.values(), lr=0.01)
    optimiser.eval()
    optimiser.train()
    give(weights, noises(1)[0])
    optimiser.step()
    give(weights, noises(2)[1])
    optimiser.step()
    before = {name: w.detach().clone() for name, w in weights.items()}
    for turn in (optimiser.eval, optimiser.eval):
        turn()
    assert not any(torch.equal(weights[name], before[name]) for name in before)
    for turn in (optimiser.train, optimiser.train):
        turn()
    assert all(torch.equal(weights[name], before[name]) for name in before)


def test_a_step_from_the_average_is_refused():
    w = torch.zeros(2, requires_grad=True)
    w.grad = torch.ones(2)
    optimiser = ScheduleFree([w])
    optimiser.eval()
    with pytest.raises(RuntimeError, match="call train"):
        optimiser.step()


def test_flat_weights_walk_the_same_way():
    first, second = parameters(), parameters()
    one, two = ScheduleFree(first.values(), lr=0.01), ScheduleFree(second.values(), lr=0.01).flatten()
    for _ in zip(stepped(first, one, noises(9)), stepped(second, two, noises(9)), strict=True):
        pass
    one.eval()
    two.eval()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-13, atol=1e-13)


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(ScheduleFree, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"betas": (1.1, 0.9)}, "Invalid beta parameter at index 0: 1.1"),
    ({"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"), ({"eps": -1}, "Invalid epsilon value: -1"),
    ({"weight_decay": -1}, "Invalid weight_decay value: -1"), ({"warmup": -1}, "Invalid warmup value: -1"),
    ({"base": "x"}, "Invalid base: x"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        ScheduleFree([torch.zeros(2, requires_grad=True)], **options)


def test_sparse_gradients_are_refused():
    w = torch.zeros(2, 2, requires_grad=True)
    w.grad = torch.zeros(2, 2).to_sparse()
    with pytest.raises(RuntimeError, match="ScheduleFree does not support sparse gradients"):
        ScheduleFree([w]).step()
