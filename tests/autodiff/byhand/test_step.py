"""The step, by its definition."""

import numpy as np
import torch

from shinso.autodiff.byhand.step import Step


def test_it_is_torchs_heaviside_with_one_at_zero():
    x = np.array([[-2.0, -0.0, 0.0, 1e-300, 3.0]])
    theirs = torch.heaviside(torch.tensor(x), torch.tensor(1.0, dtype=torch.float64))
    np.testing.assert_array_equal(Step().forward(x), theirs.numpy())


def test_nothing_comes_back_through_it():
    layer = Step()
    layer.forward(np.ones(3))
    assert not layer.backward(np.array([1.0, -2.0, 3.0])).any()
