"""The matrix product on the shapes that the article's class cannot take."""

import numpy as np
import pytest
import torch

from shinso.autodiff.byhand.matmul import MatMul
from shinso.core.errors import UserError

SHAPES = [((2, 3), (3, 5)), ((1, 3), (3, 5)), ((0, 3), (3, 5)), ((4, 0), (0, 2)), ((6, 2, 3), (3, 4)),
          ((2, 3), (6, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((2, 1, 4, 3), (7, 3, 2)), ((5, 0, 3), (1, 3, 2))]


@pytest.mark.parametrize(("one", "two"), SHAPES)
def test_it_agrees_with_torch(one, two):
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=one), draw.normal(size=two)
    theirs = [torch.tensor(x, requires_grad=True) for x in (a, b)]
    out, layer = theirs[0] @ theirs[1], MatMul()
    np.testing.assert_allclose(layer.forward(a, b), out.detach().numpy(), atol=1e-12)
    grad = draw.normal(size=out.shape)
    out.backward(torch.tensor(grad))
    for mine, other in zip(layer.backward(grad), theirs, strict=True):
        np.testing.assert_allclose(mine, other.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize(("one", "two"), [((2, 3), (4, 5)), ((3,), (3, 2)), ((2, 3), (3,))])
def test_what_has_no_product_is_told_with_both_shapes(one, two):
    with pytest.raises(UserError, match=r"matmul: .* have no product"):
        MatMul().forward(np.ones(one), np.ones(two))
