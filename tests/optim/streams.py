"""One stream of gradients for a rule and for its reference in NumPy, and what every rule must do besides."""

import copy

import numpy as np
import torch

from shinso.kernels import elementwise

CURVATURE = {"matrix": np.linspace(0.1, 10, 12).reshape(3, 4), "vector": np.linspace(1, 3, 5), "number": np.array(2.0)}


def starts(zero=False):
    """Three weights by name: a matrix, a vector and a number."""
    draw = np.random.default_rng(0)
    return {name: (0 if zero else 1) * np.asarray(draw.normal(size=c.shape)) for name, c in CURVATURE.items()}


def noises(steps):
    draw = np.random.default_rng(1)
    return [{name: draw.normal(size=c.shape) for name, c in CURVATURE.items()} for _ in range(steps)]


def by_hand(reference, options, steps=300, zero=False, sign=1.0):
    """The weights after each step of `reference(w, **options)`: a generator, sent gradients, that gives weights."""
    weights, paths = starts(zero), []
    rules = {name: reference(np.array(w), **options) for name, w in weights.items()}
    for rule in rules.values():
        next(rule)
    for noise in noises(steps):
        weights = {name: rule.send(sign * (CURVATURE[name] * weights[name] + noise[name]))
                   for name, rule in rules.items()}
        paths.append(weights)
    return paths


def parameters(zero=False, dtype=torch.float64):
    """The same weights in torch; the matrix lies transposed in memory."""
    found = {name: torch.tensor(w, dtype=dtype) for name, w in starts(zero).items()}
    found["matrix"] = found["matrix"].t().contiguous().t()
    return {name: torch.nn.Parameter(w) for name, w in found.items()}


def give(weights, noise):
    for name, w in weights.items():
        w.grad = torch.tensor(CURVATURE[name]).to(w) * w.detach() + torch.tensor(noise[name]).to(w)


def stepped(weights, optimiser, some, losses=None):
    """Runs through `some` noises; yields after every step."""
    for i, noise in enumerate(some):
        give(weights, noise)
        optimiser.step() if losses is None else optimiser.step(loss=losses[i])
        yield


def follows(rule, reference, options, steps=300, zero=False, within=1e-12, losses=None, **more):
    """The largest difference between a rule and its reference over all steps must be below `within`."""
    weights = parameters(zero)
    optimiser = rule(weights.values(), **options, **more)
    path = by_hand(reference, options, steps, zero, -1.0 if more.get("maximize") else 1.0)
    for expected, _ in zip(path, stepped(weights, optimiser, noises(steps), losses), strict=True):
        for name, w in weights.items():
            assert np.isfinite(expected[name]).all()
            np.testing.assert_allclose(w.detach().numpy(), expected[name], rtol=within, atol=within)


def goes_on(rule, options, at=7, steps=20, losses=None):
    """Saved after `at` steps into a fresh optimiser, and interrupted by nothing: the same bits at the end."""
    whole, first = parameters(), parameters()
    for _ in stepped(whole, rule(whole.values(), **options), noises(steps), losses):
        pass
    begun = rule(first.values(), **options)
    for _ in stepped(first, begun, noises(steps)[:at], losses):
        pass
    second = copy.deepcopy(first)
    again = rule(second.values(), **options)
    again.load_state_dict(copy.deepcopy(begun.state_dict()))
    for _ in stepped(second, again, noises(steps)[at:], losses and losses[at:]):
        pass
    assert all(torch.equal(whole[name], second[name]) for name in whole)
    assert not any(torch.equal(whole[name], first[name]) for name in whole)


def without_native(monkeypatch):
    """Inside the test, rules are done by tensor operations."""
    monkeypatch.setattr(elementwise, "native", lambda name: None)


def is_used_as_torch_uses_it(rule, options):
    """A scheduler, two groups, a closure, and a weight without a gradient."""
    weights = parameters()
    groups = [{"params": [weights["matrix"]]}, {"params": [weights["vector"], weights["number"]], "lr": 0.0}]
    optimiser = rule(groups, **options)
    before = {name: w.detach().clone() for name, w in weights.items()}
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=0.5)

    def closure():
        optimiser.zero_grad()
        loss = (weights["matrix"] - 3).square().sum()
        loss.backward()
        return loss

    assert optimiser.step(closure).item() > 0
    schedule.step()
    assert not torch.equal(weights["matrix"], before["matrix"])
    assert torch.equal(weights["vector"], before["vector"]) and torch.equal(weights["number"], before["number"])
    assert optimiser.param_groups[0]["lr"] == 0.5 * options["lr"]
