"""Updates on separable data: their rule, their bound, and what a plain ReLU lacks."""

import numpy as np
import pytest
import torch
from oracles import records

from shinso.core.seed import derive
from shinso.theory.separable_data import Setup, answer, build, examples, most_updates, start, top, train


def test_examples_are_separated_unit_vectors():
    X, y = examples(500, 7, 0.3, 1, "some")
    assert np.allclose(np.linalg.norm(X, axis=1), 1) and (y * X[:, 0] >= 0.3).all()
    assert abs(y.mean()) < 0.2 and abs(X[:, 1:].mean()) < 0.05


def test_an_update_is_a_step_of_torch_on_the_hinge_loss():
    X, y = examples(1, 5, 0.2, 0, "one")
    W = torch.from_numpy(start(6, 5, 1.0, 0)).requires_grad_()
    z = torch.nn.functional.leaky_relu(torch.from_numpy(X[0]) @ W.T, 0.1) @ torch.from_numpy(top(6))
    (1 - float(y[0]) * z).clamp(min=0).backward()
    after, updates, _ = train(W.detach().numpy(), (X, y), 0.1, 0.3, 1)
    assert updates == 1 and W.grad is not None
    assert after == pytest.approx(W.detach().numpy() - 0.3 * W.grad.numpy(), abs=1e-14)


def test_the_most_updates_solve_the_inequality_with_equality():
    alpha, lr, margin, size = 0.3, 0.2, 0.25, 1.5
    T = most_updates(alpha, lr, margin, size)
    assert T * lr * alpha == pytest.approx((2 * size + np.sqrt(T * (2 * lr + lr**2))) / margin, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("lr", [0.1, 1.0])
@pytest.mark.parametrize("width", [2, 100])
def test_updates_end_below_the_bound(alpha, lr, width):
    data = examples(60, 6, 0.25, 3, "examples")
    W, updates, passes = train(start(width, 6, 2.0, 3), data, alpha, lr, 5000)
    assert 0 < updates <= most_updates(alpha, lr, 0.25, 2.0) and passes < 5000
    assert (data[1] * answer(W, data[0], alpha) >= 1).all()


def test_the_slope_one_is_the_perceptron_with_a_margin():
    """alpha = 1 makes the net linear: the updates are those of the vector sum_i v_i w_i."""
    X, y = examples(40, 4, 0.3, 2, "examples")
    W0 = start(8, 4, 1.0, 2)
    W, updates, _ = train(W0, (X, y), 1.0, 0.5, 1)
    order = np.random.default_rng(derive(0, "order")).permutation(40)
    w, count = top(8) @ W0, 0
    for i in order:
        if y[i] * (w @ X[i]) < 1:
            w, count = w + 0.5 * y[i] * X[i], count + 1
    assert count == updates and top(8) @ W == pytest.approx(w, abs=1e-13)


def test_width_changes_little():
    rows = records(build(Setup(widths=40, widest=200, seed=5)))
    updates = [row["updates"] for row in rows]
    assert max(updates) < 2 * min(updates)
    assert all(row["updates"] <= row["updates_bound"] for row in rows)
