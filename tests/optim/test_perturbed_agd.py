"""PerturbedAGD is algorithms 2 and 3 of Jin, Netrapalli and Jordan 2017, line by line, over all weights together."""

import copy

import numpy as np
import pytest
import torch

from shinso.core.seed import generator
from shinso.optim.perturbed_agd import PerturbedAGD

D = 6
CURVATURE = np.array([2.0, 1.0, 3.0, 0.5, 1.0, -1.0])


def f(x):
    return (CURVATURE / 2 * x * x).sum() + x[-1] ** 4 / 4


def gradient(x):
    g = CURVATURE * x
    g[-1] += x[-1] ** 3
    return g


def ball(radius, seed, t):
    parts = [torch.randn(n, generator=generator(seed, f"perturbed/{t}/{i}"), dtype=torch.float64).numpy()
             for i, n in enumerate((4, 2))]
    z = np.concatenate(parts)
    u = torch.rand((), generator=generator(seed, f"perturbed/{t}/length"), dtype=torch.float64).item()
    return radius * u ** (1 / D) * z / np.linalg.norm(z)


def algorithm_2(x, options, steps):
    """(x, v, what happened) after each step, without the rounding that the class allows for."""
    v, noise, (gamma, s) = np.zeros(D), -options["wait"] - 1, options["exploitation"]
    for t in range(steps):
        what = ""
        if np.linalg.norm(gradient(x)) <= options["threshold"] and t - noise > options["wait"]:
            x, noise, what = x + ball(options["radius"], options["seed"], t), t, "push"
        y = x + (1 - options["theta"]) * v
        new = y - options["lr"] * gradient(y)
        moved = new - x
        if v.any() and f(x) <= f(y) + gradient(y) @ (x - y) - gamma / 2 * ((x - y) @ (x - y)):
            what, new, moved = "far", x, np.zeros(D)
            if np.linalg.norm(v) < s:
                delta = s * v / np.linalg.norm(v)
                what, new = "near", min((x + delta, x - delta), key=f)
        x, v = new, moved
        yield x, v, what


def begun(last=0.0):
    flat = np.linspace(-1, 1, D)
    flat[-1] = last
    weights = [torch.tensor(flat[:4].reshape(2, 2)).t().contiguous().t(), torch.tensor(flat[4:])]
    return flat, [w.requires_grad_() for w in weights]


def closure(optimiser, weights):
    def ask():
        optimiser.zero_grad()
        flat = torch.cat([w.reshape(-1) for w in weights])
        loss = (torch.tensor(CURVATURE) / 2 * flat * flat).sum() + flat[-1] ** 4 / 4
        loss.backward()
        ask.calls += 1
        return loss

    ask.calls = 0
    return ask


def flat(tensors):
    return torch.cat([w.detach().reshape(-1) for w in tensors]).numpy()


OPTIONS = {"lr": 0.05, "theta": 0.05, "exploitation": (0.05, 0.02), "radius": 1e-3, "threshold": 0.02, "wait": 100,
           "seed": 2}


@pytest.mark.parametrize("exploitation", [(0.05, 0.02), (0.3, 0.3), (2.0, 1e-3)])
def test_it_is_algorithms_2_and_3(exploitation):
    options = {**OPTIONS, "exploitation": exploitation}
    start, weights = begun(1e-3)
    optimiser, seen = PerturbedAGD(weights, **options), set()
    ask = closure(optimiser, weights)
    for x, v, what in algorithm_2(start, options, 99):
        optimiser.step(ask)
        np.testing.assert_allclose(flat(weights), x, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(flat([optimiser.state[w]["velocity"] for w in weights]), v, rtol=1e-9, atol=1e-12)
        seen.add(what)
    assert seen == {(0.05, 0.02): {"", "push", "far"}, (0.3, 0.3): {"", "push", "near"},
                    (2.0, 1e-3): {"", "push"}}[exploitation]


def test_it_asks_at_x_and_at_y_and_where_it_looks():
    _, weights = begun(1e-3)
    optimiser = PerturbedAGD(weights, **{**OPTIONS, "threshold": 0.0})
    ask, asked = closure(optimiser, weights), []
    for _ in range(100):
        before = ask.calls
        optimiser.step(ask)
        near = optimiser.state[weights[0]].get("exploited_at") == optimiser.state[weights[0]]["step"]
        asked.append((ask.calls - before, near))
    assert asked[0] == (1, False) and asked[1] == (2, False)
    assert {count for count, near in asked if near} <= {2, 4} and any(near for _, near in asked)


def test_a_resumed_run_is_the_same_to_the_last_bit():
    ends = []
    for cut in (None, 57):
        _, weights = begun()
        optimiser = PerturbedAGD(weights, **{**OPTIONS, "wait": 20})
        for t in range(150):
            if t == cut:
                kept = copy.deepcopy(optimiser.state_dict())
                weights = [w.detach().clone().requires_grad_() for w in weights]
                optimiser = PerturbedAGD(weights, lr=9.0)
                optimiser.load_state_dict(kept)
            optimiser.step(closure(optimiser, weights))
        ends.append(flat(weights))
    assert (ends[0] == ends[1]).all()


def test_nothing_is_exploited_where_rounding_decides():
    """At the bottom of a bowl, once f no longer changes, nothing but (2) happens."""
    w = torch.tensor([1.0, -2.0], requires_grad=True)
    optimiser = PerturbedAGD([w], lr=0.1, radius=0.0)

    def ask():
        optimiser.zero_grad()
        loss = w.square().sum() + 5.0
        loss.backward()
        return loss

    for _ in range(400):
        optimiser.step(ask)
    assert "exploited_at" not in optimiser.state[w] and w.detach().abs().max() < 1e-6 and w.dtype == torch.float32


def test_groups_have_their_own_rates_and_a_scheduler_may_change_them():
    _, weights = begun(0.5)
    optimiser = PerturbedAGD([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.0}], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=0.5)
    before = [w.detach().clone() for w in weights]
    loss = optimiser.step(closure(optimiser, weights))
    schedule.step()
    assert loss.item() == pytest.approx(f(flat(before)), rel=1e-12)
    assert not torch.equal(weights[0], before[0]) and torch.equal(weights[1], before[1])
    assert optimiser.param_groups[0]["lr"] == 0.05


def test_rosenbrocks_valley_is_gone_down():
    w = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimiser = PerturbedAGD([w], lr=5e-4, theta=0.02, exploitation=(0.5, 0.01))

    def ask():
        optimiser.zero_grad()
        loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        loss.backward()
        return loss

    for _ in range(2000):
        optimiser.step(ask)
    assert ask().item() < 1e-2


def test_the_papers_constants_worked_out():
    """l = 16, rho eps = 16 * 1/16 = 1, so kappa = 16: theta = 1/16, lr = 1/64, gamma = 1/4, s = 1/256.

    d = D = 1 and delta = 16 / e^2 make chi 2: r = 1/64 * 1/16 / 32 and wait = 4 * 2.
    """
    options = PerturbedAGD.constants(smoothness=16, hessian=16, epsilon=1 / 16, gap=1, dimensions=1,
                                     delta=16 / np.e**2)
    assert options.pop("exploitation") == pytest.approx((1 / 4, 1 / 256), rel=1e-12)
    expected = {"lr": 1 / 64, "theta": 1 / 16, "radius": 2.0**-15, "threshold": 1 / 16}
    assert options.pop("wait") in (8, 9)  # rounding of a logarithm that is 2 decides
    assert options == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"theta": 1.5}, "Invalid theta value: 1.5"),
    ({"exploitation": (0.0, 1.0)}, "Invalid exploitation"), ({"radius": -1}, "Invalid radius: -1"),
    ({"threshold": -1}, "Invalid threshold: -1"), ({"wait": -1}, "Invalid wait value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        PerturbedAGD([torch.zeros(2, requires_grad=True)], **options)


def test_it_says_that_it_needs_a_closure():
    with pytest.raises(RuntimeError, match=r"call step\(closure\)"):
        PerturbedAGD([torch.zeros(2, requires_grad=True)]).step()


def test_sparse_gradients_are_refused():
    w = torch.zeros(2, requires_grad=True)

    def ask():
        w.grad = torch.ones(2).to_sparse()
        return torch.zeros(())

    with pytest.raises(RuntimeError, match="PerturbedAGD does not support sparse gradients"):
        PerturbedAGD([w]).step(ask)
