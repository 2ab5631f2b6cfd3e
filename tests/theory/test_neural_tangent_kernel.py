"""The kernel against gradients, the film against the matrix exponential and against a linear model that is trained."""

from math import pi

import pytest
import torch
from oracles import records

from shinso.basics.overparametrised import kernel, kernel_of
from shinso.core.seed import generator
from shinso.theory import neural_tangent_kernel as ntk
from shinso.theory.neural_tangent_kernel import Setup, answers, circle, cross, descend, problem, second_layer
from shinso.theory.over_parametrisation import start


def gram(parameters: tuple[torch.Tensor, ...], a: torch.Tensor, X: torch.Tensor) -> torch.Tensor:
    W = parameters[0]
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(answers(W, a, x[None])[0], parameters)]) for x in X]
    return torch.stack(rows) @ torch.stack(rows).T


def test_the_finite_kernel_is_the_product_of_gradients_for_one_layer_and_for_both():
    X = circle(torch.rand(5, dtype=torch.float64) * 6)
    W, a = start(40, 3, 0)
    W.requires_grad_()
    torch.testing.assert_close(gram((W,), a, X), kernel_of(X, W.detach()), rtol=1e-10, atol=1e-12)
    a.requires_grad_()
    active = (X @ W.detach().T).clamp(min=0)
    both = kernel_of(X, W.detach()) + active @ active.T  # d/da_r without the 1 / sqrt(m) that a carries
    torch.testing.assert_close(gram((W, a), a, X), both, rtol=1e-10, atol=1e-12)


def test_the_second_layer_is_the_mean_over_gaussians():
    X = circle(torch.tensor([0.1, 1.0, 3.0], dtype=torch.float64))
    w = torch.randn(400_000, 3, generator=generator(0, "mean"), dtype=torch.float64)
    active = (X @ w.T).clamp(min=0)
    torch.testing.assert_close(active @ active.T / len(w), second_layer(X), rtol=0, atol=0.01)


def test_small_steps_of_the_film_are_the_matrix_exponential():
    film = problem(6, 0, 1e-4)
    u0 = torch.randn(6, dtype=torch.float64)
    k = 20_000
    flow = torch.matrix_exp(-kernel(film.X) * film.rate * k) @ (u0 - film.y)
    torch.testing.assert_close(film.left(k, u0), flow, rtol=0, atol=1e-3 * float((u0 - film.y).norm()))


def test_the_film_is_the_descent_of_a_linear_model_with_this_kernel():
    """Kernel descent with coefficients c: u = u0 + K c, c <- c - e (u - y)."""
    film = problem(8, 3, 1.0)
    look = circle(torch.linspace(0, 6, 9, dtype=torch.float64))
    u0, f0 = torch.randn(8, dtype=torch.float64), torch.randn(9, dtype=torch.float64)
    c = torch.zeros(8, dtype=torch.float64)
    for _ in range(37):
        c = c - film.rate * (u0 + kernel(film.X) @ c - film.y)
    torch.testing.assert_close(film.left(37, u0), u0 + kernel(film.X) @ c - film.y, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(film.at(look, 37, u0, f0), f0 + cross(look, film.X) @ c, rtol=1e-9, atol=1e-9)


def test_one_step_of_descent_is_that_of_autograd():
    film = problem(5, 1, 1.0)
    W, a = start(20, 3, 2)
    W.requires_grad_()
    (slope,) = torch.autograd.grad((answers(W, a, film.X) - film.y).square().sum() / 2, W)
    torch.testing.assert_close(descend(W.detach(), a, film.X, film.y, 0.3), (W - 0.3 * slope).detach())


@pytest.mark.parametrize(("width", "seed"), [(8192, 0), (8192, 7), (1024, 1), (64, 2)])
def test_the_difference_to_the_film_is_within_what_the_kernel_s_change_allows(width, seed):
    for row in records(ntk.build(Setup(width=width, seed=seed, steps=60))):
        assert abs(row["measured"] - row["predicted"]) <= row["within"]


def test_the_distance_has_its_exact_size():
    X = torch.randn(20, 10, generator=generator(0, "points"), dtype=torch.float64)
    X = X / X.norm(dim=1, keepdim=True)
    for width, found in zip((256, 4096), ntk.distances((256, 4096), 30), strict=True):
        assert found == pytest.approx(ntk.expected_distance(X, width), rel=0.2)


def test_with_pi_instead_of_two_pi_the_kernel_is_not_that_of_the_network():
    X = circle(torch.linspace(0, 5, 6, dtype=torch.float64))
    W, _ = start(20_000, 3, 1)
    wrong = (X @ X.T) * (pi - (X @ X.T).clamp(-1, 1).arccos()) / pi
    assert float((kernel_of(X, W) - kernel(X)).abs().max()) < 0.02 < 0.4 < float((kernel_of(X, W) - wrong).abs().max())
