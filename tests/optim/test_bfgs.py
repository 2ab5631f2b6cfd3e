"""BFGS equals its reference in NumPy and finds SciPy's minima; every step fulfils the strong Wolfe conditions."""

import numpy as np
import pytest
import torch
from landscapes import (
    a_weight_without_gradient_stays,
    climbs,
    closure_of,
    goes_on_exactly,
    keeps_its_house,
    refuses,
    steps_down_the_valley,
    valley,
)
from scipy import optimize

from shinso.optim.bfgs import BFGS, updated

A = np.diag(np.linspace(1, 20, 6)) + 0.5
B = np.arange(6.0)


def slope(w):
    return A @ w + w**3 - B


def textbook(h, s, y):
    """Nocedal and Wright 2006, (6.17)."""
    rho, unit = 1 / (y @ s), np.eye(len(s))
    return (unit - rho * np.outer(s, y)) @ h @ (unit - rho * np.outer(y, s)) + rho * np.outer(s, s)


def by_hand(w):
    """Exact steps on w A w/2 + |w^2|^2/4 - b w; H starts as (6.20) of Nocedal and Wright says."""
    h = None
    while True:
        g = slope(w)
        d = -g if h is None else -h @ g
        new = w - g @ d / (d @ (A + 3 * np.diag(w**2)) @ d) * d
        s, y = new - w, slope(new) - g
        h = textbook(np.eye(6) * (y @ s) / (y @ y) if h is None else h, s, y)
        w = new
        yield w, h


def test_steps_and_matrices_equal_the_reference():
    w = torch.ones(6, dtype=torch.float64, requires_grad=True)
    optimiser = BFGS([w], line_search="exact")
    closure = closure_of(optimiser, lambda: w @ torch.tensor(A) @ w / 2 + w.pow(4).sum() / 4 - torch.tensor(B) @ w,
                         graph=True)
    for _, (expected, h) in zip(range(8), by_hand(np.ones(6)), strict=False):
        optimiser.step(closure)
        np.testing.assert_allclose(w.detach().numpy(), expected, atol=1e-10)
        np.testing.assert_allclose(optimiser.state[w]["inverse_hessian"].numpy(), h, atol=1e-8)
    assert np.linalg.norm(slope(w.detach().numpy())) < 1e-3


def test_the_update_is_the_textbooks():
    draw = np.random.default_rng(0)
    root, s, y = draw.normal(size=(5, 5)), draw.normal(size=5), draw.normal(size=5)
    ours = updated(*(torch.tensor(v) for v in (root @ root.T, s, y)))
    np.testing.assert_allclose(ours.numpy(), textbook(root @ root.T, s, y), rtol=1e-9)


def test_the_minimum_is_scipys():
    theirs = optimize.minimize(optimize.rosen, np.full(5, -1.0), jac=optimize.rosen_der, method="BFGS",
                               options={"gtol": 1e-10})
    w = torch.full((5,), -1.0, dtype=torch.float64, requires_grad=True)
    optimiser = BFGS([w])
    closure = closure_of(optimiser, lambda: valley(w[:-1], w[1:]).sum(), graph=False)
    for _ in range(theirs.nit + 20):
        optimiser.step(closure)
    np.testing.assert_allclose(w.detach().numpy(), theirs.x, atol=1e-8)


def test_every_step_fulfils_the_strong_wolfe_conditions():
    w = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimiser = BFGS([w])
    closure = closure_of(optimiser, lambda: valley(*w), graph=False)
    for _ in range(25):
        before, loss, g = w.detach().clone(), closure().item(), w.grad.clone()
        optimiser.step(closure)
        after, new = closure().item(), w.grad.clone()
        s = w.detach() - before
        assert after <= loss + 1e-4 * g.dot(s).item() and abs(new.dot(s)) <= 0.9 * abs(g.dot(s))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_valley_is_gone_down(dtype):
    steps, calls = steps_down_the_valley(BFGS, {}, dtype)
    assert steps <= 45 and calls <= 100


def test_it_stays_where_nothing_is_lower():
    """At the minimum to the last bit, and on a loss that only rises: no step, no error, no broken matrix."""
    w = torch.tensor([1.0, 1.0], requires_grad=True)
    optimiser = BFGS([w])
    for _ in range(3):
        optimiser.step(closure_of(optimiser, lambda: valley(*w), graph=False))
    assert w.tolist() == [1, 1] and "inverse_hessian" not in optimiser.state[w]


def test_a_loss_that_is_not_a_number_is_stepped_back_from():
    w = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    optimiser = BFGS([w], lr=100.0)
    closure = closure_of(optimiser, lambda: w.square().sum() - w.log().sum(), graph=False)  # nan below 0
    for _ in range(12):
        optimiser.step(closure)
    assert w.item() == pytest.approx(0.5**0.5, abs=1e-7)


def test_it_goes_on_where_it_was_saved():
    goes_on_exactly(lambda model: BFGS(model.parameters()))


def test_float32_and_weights_that_are_not_contiguous():
    keeps_its_house(lambda model: BFGS(model.parameters()))


def test_it_climbs():
    climbs(BFGS, {})


def test_it_is_used_as_any_optimiser():
    a_weight_without_gradient_stays(BFGS, {})
    refuses(BFGS, "BFGS")


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"line_search": "armijo"}, "Invalid line_search: armijo"),
    ({"wolfe": (0.9, 0.1)}, "Invalid wolfe constants"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        BFGS([torch.zeros(2, requires_grad=True)], **options)


def test_too_many_weights_for_a_matrix_are_refused():
    with pytest.raises(ValueError, match="20001 weights are too many"):
        BFGS([torch.zeros(20_000, requires_grad=True), torch.zeros(1, requires_grad=True)])
