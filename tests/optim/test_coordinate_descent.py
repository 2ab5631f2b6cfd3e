"""Coordinate descent against NumPy references from (1) to (3) of its docstring, and scikit-learn's lasso."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from streams import CURVATURE, follows, is_used_as_torch_uses_it, parameters

from shinso.core.seed import generator
from shinso.optim.coordinate_descent import CoordinateDescent

PULL = torch.linspace(-2, 2, 18, dtype=torch.float64)


def coupled(weights):
    """All 18 weights in one quadratic with two neighbours each, and its matrix."""
    flat = torch.cat([w.reshape(-1) for w in weights.values()])
    return (1.5 * flat.square()).sum() - (flat[1:] * flat[:-1]).sum() - (PULL.to(flat) * flat).sum()


MATRIX = 3 * np.eye(18) - np.eye(18, k=1) - np.eye(18, k=-1)


def closure_of(weights, loss=coupled):
    def closure():
        value = loss(weights)
        for w, g in zip(weights.values(), torch.autograd.grad(value, list(weights.values()), create_graph=True),
                        strict=True):
            w.grad = g
        return value
    return closure


def flat(weights):
    return torch.cat([w.detach().reshape(-1) for w in weights.values()]).numpy()


def turns(order, w, t, pull):
    if order == "cyclic":
        return t % 18
    if order == "random":
        return int(torch.randint(18, (), generator=generator(5, f"coordinate_descent/{t}")))
    return int(np.argmax(np.abs(pull)))


@pytest.mark.parametrize("order", ["cyclic", "random", "greedy"])
@pytest.mark.parametrize(("lr", "exact"), [(1.0, True), (1.5, True), (0.1, False)])
def test_three_hundred_steps_equal_the_reference(order, lr, exact):
    """(1) with the gradient A w - b and the diagonal of A, through three tensors in two orders of memory."""
    weights = parameters()
    w, b = flat(weights).copy(), PULL.numpy()
    optimiser = CoordinateDescent(weights.values(), lr=lr, order=order, exact=exact, seed=5)
    for t in range(300):
        optimiser.step(closure_of(weights))
        g = MATRIX @ w - b
        i = turns(order, w, t, g)
        w[i] -= lr * g[i] / (MATRIX[i, i] if exact else 1.0)
        np.testing.assert_allclose(flat(weights), w, rtol=1e-12, atol=1e-12)


def test_a_sweep_is_as_many_single_steps():
    one, many = parameters(), parameters()
    sweep, single = CoordinateDescent(one.values(), coordinates=0), CoordinateDescent(many.values())
    for _ in range(3):
        sweep.step(closure_of(one))
        for _ in range(18):
            single.step(closure_of(many))
    assert np.array_equal(flat(one), flat(many))


def test_the_lasso_is_scikit_learns():
    draw = np.random.default_rng(0)
    X, y = draw.normal(size=(40, 9)), draw.normal(size=40)
    theirs = Lasso(alpha=0.1, fit_intercept=False, tol=1e-15, max_iter=100_000).fit(X, y).coef_
    w = torch.zeros(9, dtype=torch.float64, requires_grad=True)
    A, b = torch.tensor(X), torch.tensor(y)
    optimiser = CoordinateDescent([w], coordinates=0, l1=4.0)
    for _ in range(60):
        optimiser.step(closure_of({"w": w}, lambda ws: (A @ ws["w"] - b).square().sum() / 2))
    np.testing.assert_allclose(w.detach().numpy(), theirs, atol=1e-10)
    assert np.array_equal(w.detach().numpy() == 0, theirs == 0)


def test_greedy_passes_over_weights_that_the_penalty_holds():
    w = torch.tensor([0.0, 0.2], dtype=torch.float64, requires_grad=True)
    optimiser = CoordinateDescent([w], order="greedy", l1=3.0)
    optimiser.step(closure_of({"w": w}, lambda ws: (2.9 * ws["w"][0] + ws["w"].square().sum() / 2)))
    assert w.tolist() == [0.0, 0.0]


def test_a_descent_from_a_hill_goes_down_and_maximize_goes_up():
    for maximize, end in ((False, 2.0), (True, 0.0)):
        w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
        optimiser = CoordinateDescent([w], maximize=maximize)
        optimiser.step(closure_of({"w": w}, lambda ws: -ws["w"].square().sum() / 2))
        assert w.item() == end


@pytest.mark.filterwarnings("ignore:Using backward")
def test_nothing_of_the_graph_is_left_and_torchs_closure_is_taken():
    weights = parameters()
    optimiser = CoordinateDescent(weights.values())

    def closure():
        optimiser.zero_grad()
        loss = coupled(weights)
        loss.backward(create_graph=True)
        return loss

    assert not optimiser.step(closure).requires_grad
    assert not any(w.grad.requires_grad for w in weights.values())


def test_a_closure_without_curvature_is_told_what_it_lacks():
    w = torch.ones(2, requires_grad=True)
    optimiser = CoordinateDescent([w])
    (w**2).sum().backward()
    with pytest.raises(RuntimeError, match=r"loss\.backward\(create_graph=True\)"):
        optimiser.step()


def test_a_given_rate_needs_no_curvature():
    def one_weight(w, lr, exact):
        g = yield w
        for t in range(10**6):
            w = w.copy()
            w.flat[t % 12] -= lr * g.flat[t % 12]
            g = yield w

    def matrix_only(w, lr, exact):
        return one_weight(w, lr, exact) if w.shape == (3, 4) else still(w)

    def still(w):
        while True:
            yield w

    assert next(iter(CURVATURE)) == "matrix"
    follows(CoordinateDescent, matrix_only, {"lr": 0.05, "exact": False}, steps=12)


@pytest.mark.parametrize("order", ["cyclic", "random", "greedy"])
def test_it_goes_on_where_it_was_saved(order):
    whole, half = parameters(), parameters()
    one, two = (CoordinateDescent(ws.values(), order=order, seed=3) for ws in (whole, half))
    for i in range(20):
        if i == 10:
            half = {name: torch.nn.Parameter(w.detach().clone()) for name, w in half.items()}
            again = CoordinateDescent(half.values())
            again.load_state_dict(copy.deepcopy(two.state_dict()))
            two = again
        one.step(closure_of(whole))
        two.step(closure_of(half))
    assert np.array_equal(flat(whole), flat(half))


def test_float32_stays_float32():
    weights = parameters(dtype=torch.float32)
    optimiser = CoordinateDescent(weights.values(), coordinates=0)
    for _ in range(30):
        optimiser.step(closure_of(weights))
    assert all(w.dtype == torch.float32 for w in weights.values())
    np.testing.assert_allclose(flat(weights), np.linalg.solve(MATRIX, PULL.numpy()), atol=1e-5)


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(lambda groups, **options: CoordinateDescent(groups, exact=False, **options), {"lr": 0.01})


def test_sparse_gradients_are_refused():
    w = torch.zeros(3, requires_grad=True)
    w.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="CoordinateDescent does not support sparse gradients"):
        CoordinateDescent([w]).step()


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"order": "up"}, "Invalid order: up"),
    ({"coordinates": -1}, "Invalid coordinates value: -1"), ({"l1": -1}, "Invalid l1 value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        CoordinateDescent([torch.zeros(2, requires_grad=True)], **options)
