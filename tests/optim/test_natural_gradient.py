"""The Fisher information equals references in NumPy, the step is its inverse's, and torch's contract is kept."""

import numpy as np
import pytest
import torch
from landscapes import (
    a_weight_without_gradient_stays,
    climbs,
    closure_of,
    goes_on_exactly,
    keeps_its_house,
    net,
    refuses,
    trained,
    valley,
)
from torch import nn

from shinso.optim.natural_gradient import NaturalGradient, empirical_fisher, fisher


def by_loops(model, x, y, likelihood):
    """(1) for a net of tanh units by the chain rule written out in NumPy: Fisher, empirical Fisher, gradient."""
    w1, b1, w2, b2 = (w.detach().numpy() for w in model.parameters())
    exact, empirical, gradient = 0.0, 0.0, 0.0
    for one, target in zip(x.numpy(), y.numpy(), strict=True):
        h = np.tanh(w1 @ one + b1)
        z = w2 @ h + b2
        rows = []
        for c in range(2):
            back = w2[c] * (1 - h**2)
            head = np.zeros_like(w2)
            head[c] = h
            rows.append(np.concatenate([np.outer(back, one).ravel(), back, head.ravel(), np.eye(2)[c]]))
        j = np.array(rows)
        p = {"gaussian": z, "categorical": np.exp(z) / np.exp(z).sum(), "bernoulli": 1 / (1 + np.exp(-z))}[likelihood]
        m = {"gaussian": np.eye(2), "categorical": np.diag(p) - np.outer(p, p), "bernoulli": np.diag(p * (1 - p))}
        seen = np.eye(2)[int(target)] if likelihood == "categorical" else target
        score = j.T @ (seen - p)
        exact = exact + j.T @ m[likelihood] @ j / len(x)
        empirical = empirical + np.outer(score, score) / len(x)
        gradient = gradient - score / len(x)
    return exact, empirical, gradient


def flat(weights):
    return torch.cat([w.detach().reshape(-1) for w in weights])


def problem(likelihood):
    model, x, y = net()
    y = {"gaussian": y, "categorical": (y[:, 0] > 0).long(), "bernoulli": (y > 0).double()}[likelihood]
    loss = {"gaussian": lambda z: 0.5 * (z - y).square().sum(1).mean(),
            "categorical": lambda z: nn.functional.cross_entropy(z, y),
            "bernoulli": lambda z: nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z)}
    return model, x, y, lambda: loss[likelihood](model(x))


@pytest.mark.parametrize("likelihood", ["gaussian", "categorical", "bernoulli"])
def test_both_matrices_equal_the_reference(likelihood):
    model, x, y, _ = problem(likelihood)
    exact, empirical, _ = by_loops(model, x, y, likelihood)
    weights = list(model.parameters())
    np.testing.assert_allclose(fisher(model(x), weights, likelihood).numpy(), exact, atol=1e-14)
    np.testing.assert_allclose(empirical_fisher(model(x), y, weights, likelihood).numpy(), empirical, atol=1e-14)
    assert np.abs(exact - empirical).max() > 0.01


@pytest.mark.parametrize("likelihood", ["gaussian", "categorical", "bernoulli"])
def test_steps_equal_the_reference(likelihood):
    model, x, y, loss = problem(likelihood)
    weights = list(model.parameters())
    optimiser = NaturalGradient(weights, lr=0.5, damping=0.1, fisher=lambda: fisher(model(x), weights, likelihood))
    closure = closure_of(optimiser, loss, graph=False)
    for _ in range(20):
        exact, _, gradient = by_loops(model, x, y, likelihood)
        before = flat(weights).numpy()
        optimiser.step(closure)
        after = flat(weights).numpy()
        expected = before - 0.5 * np.linalg.solve(exact + 0.1 * np.eye(len(before)), gradient)
        np.testing.assert_allclose(after, expected, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_valley_as_a_regression_is_two_steps(dtype):
    """Rosenbrock's function is the squared length of (10 (y - x^2), 1 - x): the mean of a Gaussian."""
    x, y = (torch.tensor([v], dtype=dtype, requires_grad=True) for v in (-1.2, 1.0))

    def matrix():
        return fisher(torch.stack([10 * (y - x**2), 1 - x], 1), [x, y], "gaussian")

    optimiser = NaturalGradient([x, y], damping=0.0, fisher=matrix)
    for _ in range(2):
        optimiser.step(closure_of(optimiser, lambda: valley(x, y).sum() / 2, graph=False))
    assert valley(x, y).item() < 1e-8


def test_without_a_fisher_it_is_gradient_descent():
    ends = []
    for kind in (NaturalGradient, torch.optim.SGD):
        model, _, losses = trained(lambda m, kind=kind: kind(m.parameters(), lr=0.1), 20)
        ends.append((flat(model.parameters()), losses))
    torch.testing.assert_close(ends[0][0], ends[1][0], rtol=1e-13, atol=1e-14)
    assert ends[0][1] == pytest.approx(ends[1][1], rel=1e-13)


def with_fisher(model):
    _, x, _ = net(next(model.parameters()).dtype)
    weights = list(model.parameters())
    return NaturalGradient(weights, lr=0.5, damping=0.01, fisher=lambda: fisher(model(x), weights, "gaussian"))


def test_it_goes_on_where_it_was_saved():
    goes_on_exactly(with_fisher)


def test_float32_and_weights_that_are_not_contiguous():
    keeps_its_house(with_fisher)


def test_it_climbs():
    climbs(NaturalGradient, {"lr": 1e-3})


def test_it_is_used_as_any_optimiser():
    a_weight_without_gradient_stays(NaturalGradient, {"lr": 0.01})
    refuses(NaturalGradient, "NaturalGradient")


def test_a_matrix_of_another_size_is_refused():
    w = torch.ones(3, requires_grad=True)
    w.grad = torch.ones(3)
    with pytest.raises(RuntimeError, match=r"must give a matrix of 3 rows and columns, not \(2, 2\)"):
        NaturalGradient([w], fisher=lambda: torch.eye(2)).step()


def test_outputs_and_likelihoods_that_are_none_are_refused():
    w = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match=r"shape must be \(batch, outputs\), not \(3,\)"):
        fisher(w * 2, [w], "gaussian")
    for call in (lambda: fisher(w[:, None], [w], "poisson"), lambda: empirical_fisher(w[:, None], w, [w], "poisson")):
        with pytest.raises(ValueError, match="Invalid likelihood: poisson"):
            call()


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"damping": -1}, "Invalid damping value: -1"),
    ({"fisher": 3}, "Invalid fisher: 3"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        NaturalGradient([torch.zeros(2, requires_grad=True)], **options)


def test_too_many_weights_for_a_matrix_are_refused():
    with pytest.raises(ValueError, match="20001 weights are too many"):
        NaturalGradient([torch.zeros(20_000, requires_grad=True), torch.zeros(1, requires_grad=True)])
