"""Both forms of soft attention beside torch's autograd."""

import numpy as np
import pytest
import torch
from torch_oracle import agrees

from shinso.autodiff.byhand.soft_attention import SoftAttention, example
from shinso.core.errors import UserError


def mean(scores, states):
    return (torch.softmax(scores, 1)[:, :, None] * states).sum(1)


def test_the_dot_product_form_has_its_gradients():
    _, inputs = example(np.random.default_rng(0))
    agrees(SoftAttention(), lambda _, h, q: mean((h * q[:, None]).sum(2), h), *inputs)


def test_the_additive_form_has_its_gradients():
    layer, inputs = example(np.random.default_rng(0))

    def additive(p, h, q):
        return mean(torch.tanh(h @ p["state_weight"] + (q @ p["query_weight"])[:, None]) @ p["vector"], h)

    agrees(layer, additive, *inputs)


def test_a_query_of_another_width_is_refused():
    with pytest.raises(UserError, match="does not fit states"):
        SoftAttention().forward(np.ones((2, 4, 3)), np.ones((2, 4)))
