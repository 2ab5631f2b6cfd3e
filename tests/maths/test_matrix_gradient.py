"""Quadratic forms against autograd."""

import numpy as np
import pytest
import torch

from shinso.core.errors import UserError
from shinso.maths.matrix_gradient import COURSE, Quadratic, form_gradient


def test_gradients_and_hessian_by_autograd():
    rng = np.random.default_rng(0)
    A, x = torch.from_numpy(rng.normal(size=(4, 4))), torch.from_numpy(rng.normal(size=4)).requires_grad_()
    assert np.allclose(form_gradient(A.numpy(), x.detach().numpy()), torch.autograd.grad(x @ A @ x, x)[0], atol=1e-13)
    hessian = torch.autograd.functional.hessian(lambda v: v[0] ** 2 + 8 * v[1] ** 2, torch.zeros(2).double())
    assert (COURSE.H == hessian.numpy()).all()


def test_descent_reaches_the_minimum():
    form = Quadratic([[3.0, 1.0], [1.0, 2.0]], [1.0, -1.0])
    end = form.descend(np.zeros(2), form.best_step, 200)[-1]
    assert np.allclose(end, form.minimum, atol=1e-12) and np.allclose(form.gradient(end), 0, atol=1e-11)
    assert form.condition == pytest.approx(np.linalg.cond(form.H), rel=1e-13)
    assert form.rate(form.best_step) == pytest.approx((form.condition - 1) / (form.condition + 1), abs=1e-15)


@pytest.mark.parametrize(("H", "said"), [
    ([[1.0, 2.0], [0.0, 1.0]], "symmetric"), ([[1.0, 0.0], [0.0, -1.0]], "curvature"), ([[1.0, 0.0]], "shape"),
    ([[0.0]], "curvature"),
])  # fmt: skip
def test_what_has_no_minimum_is_refused(H, said):
    with pytest.raises(UserError, match=said):
        Quadratic(H)


def test_a_form_of_wrong_size_is_refused():
    with pytest.raises(UserError, match="shape"):
        form_gradient(np.eye(3), [1.0, 2.0])
