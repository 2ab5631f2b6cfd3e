"""Conjugate gradients equal their references in NumPy and SciPy; every step fulfils the strong Wolfe conditions."""

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
from scipy.sparse.linalg import LinearOperator, cg

from shinso.optim.conjugate_gradient import ConjugateGradient, iterates, solve

A = np.diag(np.linspace(1, 20, 6)) + 0.5
B = np.arange(6.0)


def product(v):
    return torch.tensor(A) @ v


def textbook(x, steps):
    """Nocedal and Wright 2006, algorithm 5.2."""
    r = A @ x - B
    p = -r
    for _ in range(steps):
        alpha = r @ r / (p @ A @ p)
        x, new = x + alpha * p, r + alpha * A @ p
        p, r = -new + new @ new / (r @ r) * p, new
        yield x


@pytest.mark.parametrize("start", [None, 3.0])
def test_iterates_equal_the_textbooks(start):
    begin = None if start is None else torch.full((6,), start, dtype=torch.float64)
    ours = iterates(product, torch.tensor(B), begin)
    for one, x in zip(ours, textbook(np.full(6, start or 0.0), 5), strict=False):
        np.testing.assert_allclose(one.x.numpy(), x, atol=1e-12)
        np.testing.assert_allclose(one.residual.numpy(), B - A @ x, atol=1e-11)


def test_the_solution_is_scipys():
    theirs, failed = cg(LinearOperator((6, 6), matvec=lambda v: A @ v, dtype=float), B, rtol=1e-12)
    x, number = solve(product, torch.tensor(B), tolerance=1e-12)
    assert failed == 0 and number <= 6
    np.testing.assert_allclose(x.numpy(), theirs, atol=1e-11)
    np.testing.assert_allclose(x.numpy(), np.linalg.solve(A, B), atol=1e-11)


def test_a_system_of_zeros_needs_no_step_and_most_bounds_them():
    x, number = solve(product, torch.zeros(6, dtype=torch.float64))
    assert number == 0 and not x.any()
    assert solve(product, torch.tensor(B), most=2)[1] == 2


def test_it_stops_where_the_curvature_ends():
    x, number = solve(lambda v: torch.tensor([1.0, -1.0]) * v, torch.tensor([0.5, 1.0]))
    assert number == 0 and x.tolist() == [0, 0]


def slope(w):
    return A @ w + w**3 - B


def by_hand(w, rule, restart):
    """Equations (1) to (4) on w A w/2 + |w^2|^2/4 - b w, whose Hessian is A + 3 diag w^2."""
    before = d = None
    since = 0
    while True:
        g = slope(w)
        if before is None or since == restart:
            d, since = -g, 0
        else:
            top = g @ g if rule == "fletcher-reeves" else max(0.0, g @ (g - before))
            d = -g + top / (before @ before) * d
        since += 1
        w = w - g @ d / (d @ (A + 3 * np.diag(w**2)) @ d) * d
        before = g
        yield w


@pytest.mark.parametrize("rule", ["polak-ribiere", "fletcher-reeves"])
@pytest.mark.parametrize("restart", [None, 2, 100])
def test_nonlinear_steps_equal_the_reference(rule, restart):
    w = torch.ones(6, dtype=torch.float64, requires_grad=True)
    optimiser = ConjugateGradient([w], rule=rule, line_search="exact", restart=restart)
    closure = closure_of(optimiser, lambda: w @ product(w) / 2 + w.pow(4).sum() / 4 - torch.tensor(B) @ w, graph=True)
    for _, expected in zip(range(15), by_hand(np.ones(6), rule, restart or 6), strict=False):
        optimiser.step(closure)
        np.testing.assert_allclose(w.detach().numpy(), expected, atol=1e-11)
    assert np.linalg.norm(slope(w.detach().numpy())) < 0.05  # of 45 at the start


@pytest.mark.parametrize("rule", ["polak-ribiere", "fletcher-reeves"])
def test_every_step_fulfils_the_strong_wolfe_conditions(rule):
    w = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimiser = ConjugateGradient([w], rule=rule)
    closure = closure_of(optimiser, lambda: valley(*w), graph=False)
    for _ in range(15):
        before, loss, g = w.detach().clone(), closure().item(), w.grad.clone()
        optimiser.step(closure)
        after, new = closure().item(), w.grad.clone()
        s = w.detach() - before
        assert after <= loss + 1e-4 * g.dot(s).item() and abs(new.dot(s)) <= 0.1 * abs(g.dot(s))


@pytest.mark.parametrize(("options", "most", "calls"), [
    ({}, 40, 140), ({"rule": "fletcher-reeves"}, 45, 150), ({"restart": 1000}, 30, 100),
])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_valley_is_gone_down(options, most, calls, dtype):
    steps, asked = steps_down_the_valley(ConjugateGradient, options, dtype)
    assert steps <= most and asked <= calls


def test_exact_search_refuses_a_direction_that_curves_downwards():
    w = torch.ones(1, requires_grad=True)
    optimiser = ConjugateGradient([w], line_search="exact")
    with pytest.raises(RuntimeError, match="only where the curvature along its direction is positive"):
        optimiser.step(closure_of(optimiser, lambda: -w.square().sum(), graph=True))
    assert not w.grad.requires_grad
    with pytest.raises(RuntimeError, match="needs curvature"):
        optimiser.step(closure_of(optimiser, lambda: w.square().sum(), graph=False))


def test_it_stays_at_the_minimum():
    w = torch.zeros(2, requires_grad=True)
    optimiser = ConjugateGradient([w])
    for _ in range(3):
        optimiser.step(closure_of(optimiser, lambda: w.square().sum(), graph=False))
    assert not w.any()


def test_without_a_closure_it_says_what_it_needs():
    w = torch.ones(2, requires_grad=True)
    w.grad = torch.ones(2)
    with pytest.raises(RuntimeError, match=r"ConjugateGradient asks for the loss more than once: .* step\(closure\)"):
        ConjugateGradient([w]).step()


@pytest.mark.parametrize("options", [{}, {"rule": "fletcher-reeves", "restart": 7}])
def test_it_goes_on_where_it_was_saved(options):
    goes_on_exactly(lambda model: ConjugateGradient(model.parameters(), **options))


def test_float32_and_weights_that_are_not_contiguous():
    keeps_its_house(lambda model: ConjugateGradient(model.parameters()))


def test_it_climbs():
    climbs(ConjugateGradient, {})


def test_it_is_used_as_any_optimiser():
    a_weight_without_gradient_stays(ConjugateGradient, {})
    refuses(ConjugateGradient, "ConjugateGradient")


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"rule": "hestenes"}, "Invalid rule: hestenes"),
    ({"line_search": "armijo"}, "Invalid line_search: armijo"), ({"wolfe": (0.1, 0.6)}, "Invalid wolfe constants"),
    ({"restart": 0}, "Invalid restart value: 0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        ConjugateGradient([torch.zeros(2, requires_grad=True)], **options)
