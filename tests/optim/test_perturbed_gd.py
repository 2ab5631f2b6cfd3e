"""PerturbedGD is algorithm 2 of Jin et al. 2017, line by line, over all weights together."""

import copy
import math

import numpy as np
import pytest
import torch
from streams import goes_on, is_used_as_torch_uses_it, parameters

from shinso.core.seed import generator
from shinso.optim.perturbed_gd import PerturbedGD

SHAPES = ((2, 3), (5,), ())


def ball(radius, seed, t):
    """A point of the ball from the named streams, flat."""
    name = f"perturbed/{t}"
    parts = [torch.randn(shape, generator=generator(seed, f"{name}/{i}"), dtype=torch.float64).numpy().ravel()
             for i, shape in enumerate(SHAPES)]
    z = np.concatenate(parts)
    u = torch.rand((), generator=generator(seed, f"{name}/length"), dtype=torch.float64).item()
    return radius * u ** (1 / z.size) * z / np.linalg.norm(z)


def algorithm_2(x, f, gradient, options, steps):
    """x after every step; ends early where the paper returns."""
    noise, before = -options["wait"] - 1, None
    for t in range(steps):
        if np.linalg.norm(gradient(x)) <= options["threshold"] and t - noise > options["wait"]:
            before, noise = x, t
            x = before + ball(options["radius"], options["seed"], t)
        if options["decrease"] is not None and t - noise == options["wait"]:
            if f(x) - f(before) > -options["decrease"]:
                yield before
                return
        x = x - options["lr"] * gradient(x)
        yield x


CURVATURE = np.array([2.0, 1, 3, 0.5, 1, 1, 2, 2, 1, 0.7, 1.5, -1.0])


def f(x):
    return (CURVATURE / 2 * x * x).sum() + x[-1] ** 4 / 4


def gradient(x):
    g = CURVATURE * x
    g[-1] += x[-1] ** 3
    return g


def height(weights):
    """f in torch."""
    flat = torch.cat([w.ravel() for w in weights])
    return (torch.tensor(CURVATURE) / 2 * flat * flat).sum() + flat[-1] ** 4 / 4


def begun(last=0.0):
    """Weights near the saddle of f, the first of them transposed in memory."""
    flat = np.linspace(-1, 1, 12)
    flat[-1] = last
    parts = np.split(flat, [6, 11])
    weights = [torch.tensor(part.reshape(shape)) for part, shape in zip(parts, SHAPES, strict=True)]
    weights[0] = weights[0].t().contiguous().t()
    return flat, [w.requires_grad_() for w in weights]


def closure(optimiser, weights):
    def ask():
        optimiser.zero_grad()
        loss = height(weights)
        loss.backward()
        return loss

    return ask


@pytest.mark.parametrize("decrease", [None, 1e-6])
def test_it_is_algorithm_2(decrease):
    options = {"lr": 0.2, "radius": 1e-2, "threshold": 1e-3, "wait": 60, "decrease": decrease, "seed": 3}
    x, weights = begun()
    optimiser, pushed = PerturbedGD(weights, **options), set()
    ask = closure(optimiser, weights)
    for there in algorithm_2(x, f, gradient, options, 400):
        optimiser.step(ask)
        found = torch.cat([w.detach().ravel() for w in weights]).numpy()
        np.testing.assert_allclose(found, there, rtol=1e-12, atol=1e-12)
        pushed.add(optimiser.state[weights[0]].get("perturbed_at"))
    assert optimiser.settled == (decrease is not None)
    assert len(pushed) >= 3  # none, the saddle, the minimum
    assert f(found) == pytest.approx(-0.25, abs=1e-4)


def test_what_has_settled_stands_still_and_says_so_after_loading():
    options = {"lr": 0.2, "wait": 5, "decrease": 1e-3, "radius": 1e-6, "threshold": 1e-2}
    _, weights = begun(1.0)
    optimiser = PerturbedGD(weights, **options)
    ask = closure(optimiser, weights)
    for _ in range(200):
        optimiser.step(ask)
    assert optimiser.settled
    end = [w.detach().clone() for w in weights]
    again = PerturbedGD(weights, **options)
    again.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    again.step(closure(again, weights))
    assert again.settled and all(torch.equal(a, b) for a, b in zip(end, weights, strict=True))


def test_without_a_closure_the_step_has_the_gradient_of_before_the_push():
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    w.grad = torch.full((3,), 1e-6, dtype=torch.float64)
    PerturbedGD([w], lr=0.5, radius=0.1).step()
    moved = w.detach() + 0.5e-6
    assert 0 < moved.norm() <= 0.1


def test_comparing_losses_needs_a_closure():
    w = torch.zeros(3, requires_grad=True)
    w.grad = torch.zeros(3)
    with pytest.raises(RuntimeError, match=r"call step\(closure\)"):
        PerturbedGD([w], decrease=1e-3).step()


def test_maximise_climbs():
    _, weights = begun(0.5)
    optimiser = PerturbedGD(weights[:1], lr=0.1, maximize=True)
    before = height(weights).item()
    optimiser.step(closure(optimiser, weights))
    assert height(weights).item() > before


def test_a_resumed_run_is_the_same_to_the_last_bit():
    goes_on(PerturbedGD, {"lr": 0.01, "radius": 0.1, "threshold": 1e3, "wait": 3})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(PerturbedGD, {"lr": 0.01})


def test_float32_weights_stay_float32():
    w = torch.zeros(4, requires_grad=True)
    w.grad = torch.zeros(4)
    PerturbedGD([w]).step()
    assert w.dtype == torch.float32 and 0 < w.detach().norm() <= 1e-3


def test_the_papers_constants_worked_out():
    """l = 2, rho = 4, eps = 1/4, D = 1, d = 1, c = 1, delta = 32/e^5: so chi = 3 * 5 and sqrt(rho eps) = 1."""
    options = PerturbedGD.constants(smoothness=2, hessian=4, epsilon=0.25, gap=1, dimensions=1, delta=32 / math.e**5)
    expected = {"lr": 0.5, "radius": 0.25 / 450, "threshold": 0.25 / 225, "decrease": 0.0625 / 15**3, "wait": 30}
    assert options == pytest.approx(expected, rel=1e-12)


def test_twenty_weights_of_a_net_share_one_ball():
    weights = list(parameters(dtype=torch.float32).values())
    for w in weights:
        w.grad = torch.zeros_like(w)
    before = [w.detach().clone() for w in weights]
    PerturbedGD(weights, radius=0.5).step()
    moves = torch.cat([(w.detach() - b).ravel() for w, b in zip(weights, before, strict=True)])
    assert moves.all() and moves.norm() <= 0.5


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"radius": -1}, "Invalid radius: -1"),
    ({"threshold": -1}, "Invalid threshold: -1"), ({"wait": -1}, "Invalid wait value: -1"),
    ({"decrease": -1}, "Invalid decrease value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        PerturbedGD([torch.zeros(2, requires_grad=True)], **options)


@pytest.mark.parametrize("wait", [0, 10**6])
def test_sparse_gradients_are_refused(wait):
    w = torch.zeros(2, requires_grad=True)
    w.grad = torch.ones(2).to_sparse()
    with pytest.raises(RuntimeError, match="PerturbedGD does not support sparse gradients"):
        PerturbedGD([w], wait=wait).step()
