"""Mirror descent against NumPy references written from (1) to (5) of its docstring."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from streams import follows, goes_on, is_used_as_torch_uses_it

from shinso.optim._constraint import nearest
from shinso.optim.mirror_descent import MirrorDescent


def hyperbolic(w, lr=1e-2, b=1.0):
    """(5) by the formula of the addition of hyperbolic sines: sinh(a + c) = sinh a cosh c + cosh a sinh c"""
    while True:
        push = -lr * (yield w)
        w = w * np.cosh(push) + np.sqrt(w * w + b * b) * np.sinh(push)


def euclidean(w, lr=1e-2, mirror="", onto="space", radius=1.0):
    """(2): the nearest point, for the simplex by bisection of its threshold"""
    while True:
        z = w - lr * (yield w)
        w = {"space": lambda z: z, "box": lambda z: np.clip(z, -radius, radius), "simplex": simplex,
             "ball": lambda z: z * min(1.0, radius / max(np.sqrt((z**2).sum()), 1e-300))}[onto](z)


def simplex(z, total=1.0):
    """sum max(z - c, 0) = 1 by halving the interval of c in every row"""
    flat = z.reshape(-1, z.shape[-1] if z.ndim else 1)
    low, high = flat.min(1) - total - 1, flat.max(1)
    for _ in range(200):
        c = (low + high) / 2
        over = np.maximum(flat - c[:, None], 0).sum(1) > total
        low, high = np.where(over, c, low), np.where(over, high, c)
    return np.maximum(flat - c[:, None], 0).reshape(z.shape)


@pytest.mark.parametrize(("reference", "options"), [
    (hyperbolic, {}), (hyperbolic, {"lr": 0.05, "b": 0.3}), (euclidean, {"mirror": "euclidean"}),
    (euclidean, {"mirror": "euclidean", "onto": "ball", "radius": 2.0, "lr": 0.05}),
    (euclidean, {"mirror": "euclidean", "onto": "box", "radius": 0.5, "lr": 0.05}),
    (euclidean, {"mirror": "euclidean", "onto": "simplex", "lr": 0.05}),
])
def test_three_hundred_steps_equal_the_reference(reference, options):
    follows(MirrorDescent, reference, options)


def test_maximize_goes_up():
    follows(MirrorDescent, hyperbolic, {"lr": 1e-3}, steps=50, maximize=True)


def test_entropy_is_the_minimum_that_a_search_finds():
    """(1) with the Kullback-Leibler divergence, for a row of four, by a solver that knows nothing of exponentials."""
    start, g, lr = np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, -2.0, 0.5, 0.0]), 0.7
    best = minimize(lambda u: lr * g @ u + (u * np.log(u / start)).sum(), start, method="SLSQP",
                    bounds=[(1e-9, 1)] * 4, constraints={"type": "eq", "fun": lambda u: u.sum() - 1},
                    options={"ftol": 1e-15, "maxiter": 500})
    w = torch.tensor(np.stack([start, start[::-1]]), requires_grad=True)
    w.grad = torch.tensor(np.stack([g, g[::-1]]))
    MirrorDescent([w], lr=lr, mirror="entropy").step()
    np.testing.assert_allclose(w.detach().numpy(), np.stack([best.x, best.x[::-1]]), atol=1e-6)


def test_entropy_keeps_a_transposed_matrix_of_rows_and_goes_on_where_it_was_saved():
    draw = torch.Generator().manual_seed(0)
    start = torch.rand(5, 3, generator=draw).t().softmax(1).contiguous().t().contiguous().t()
    gradients = torch.randn(20, 3, 5, generator=draw) * 1e3  # far beyond what exp alone would bear
    whole, half = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    one, two = (MirrorDescent([w], lr=0.3, mirror="entropy") for w in (whole, half))
    for i, g in enumerate(gradients):
        whole.grad = g
        one.step()
        if i == 10:
            again = MirrorDescent([half], mirror="entropy")
            again.load_state_dict(copy.deepcopy(two.state_dict()))
            two = again
        half.grad = g
        two.step()
    assert torch.equal(whole, half) and whole.dtype == torch.float32
    torch.testing.assert_close(whole.detach().sum(1), torch.ones(3))


def test_weights_off_the_simplex_are_refused():
    w = torch.ones(3, requires_grad=True)
    w.grad = torch.ones(3)
    with pytest.raises(RuntimeError, match="sum to 1"):
        MirrorDescent([w], mirror="entropy").step()


@pytest.mark.parametrize("shape", [(), (7,), (4, 6), (2, 3, 5)])
def test_the_nearest_point_of_a_simplex_of_another_size(shape):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    np.testing.assert_allclose(nearest(z, "simplex", 2.5).numpy(), simplex(z.numpy(), 2.5), atol=1e-13)


def test_the_bottom_of_a_bowl_of_condition_100_is_reached_and_the_valley_gone_down():
    for lr, loss, start, below in ((0.01, lambda w: (w[0] ** 2 + 100 * w[1] ** 2) / 2, [1.0, 1.0], 1e-3),
                                   (1e-3, lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2, [-1.2, 1.0], 4.0)):
        w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        optimiser = MirrorDescent([w], lr=lr)
        for _ in range(2000):
            optimiser.zero_grad()
            loss(w).backward()
            optimiser.step()
        assert loss(w).item() < below


def test_it_goes_on_where_it_was_saved():
    goes_on(MirrorDescent, {"lr": 0.05})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(MirrorDescent, {"lr": 0.01})


def test_sparse_gradients_are_refused():
    w = torch.zeros(3, requires_grad=True)
    w.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="MirrorDescent does not support sparse gradients"):
        MirrorDescent([w]).step()


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"mirror": "glass"}, "Invalid mirror: glass"),
    ({"onto": "ball"}, "Invalid onto: ball"), ({"mirror": "euclidean", "onto": "disc"}, "Invalid onto: disc"),
    ({"radius": 0.0}, "Invalid radius: 0.0"), ({"b": 0.0}, "Invalid b value: 0.0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        MirrorDescent([torch.zeros(2, requires_grad=True)], **options)
