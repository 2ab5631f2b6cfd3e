"""Binary entropy against SciPy's; its slope by autograd."""

import numpy as np
import pytest
import torch
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.binary_entropy import binary_entropy, slope


def test_it_is_the_entropy_of_two():
    p = np.linspace(0, 1, 57)
    theirs = stats.entropy(np.stack([p, 1 - p]), axis=0)
    assert np.allclose(binary_entropy(p), theirs, atol=1e-15)


def test_the_slope_by_autograd():
    p = torch.linspace(0.001, 0.999, 333, dtype=torch.float64, requires_grad=True)
    h = -(p * p.log() + (1 - p) * (1 - p).log())
    assert np.allclose(binary_entropy(p.detach().numpy()), h.detach().numpy(), atol=1e-15)
    gradient = torch.autograd.grad(h.sum(), p)[0].numpy()
    assert np.allclose(slope(p.detach().numpy()), gradient, atol=1e-12)


def test_the_ends_have_infinite_slopes():
    assert slope([0.0, 0.5, 1.0]).tolist() == [np.inf, 0.0, -np.inf]
    assert slope(0.25, base=2) == pytest.approx(np.log2(3), abs=1e-15)


def test_very_small_probabilities_keep_their_digits():
    assert float(binary_entropy(1e-20)) == pytest.approx(1e-20 * (np.log(1e20) + 1), rel=1e-14)


@pytest.mark.parametrize("p", [-1e-9, 1.0001, np.nan])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(UserError):
        binary_entropy(p)
