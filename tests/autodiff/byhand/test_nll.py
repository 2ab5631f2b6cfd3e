"""Negative log-likelihood: against torch where it is refused by default, and what is refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.nll import NegativeLogLikelihood
from shinso.core.errors import UserError


def test_unchecked_it_is_torchs_for_any_number():
    draw = np.random.default_rng(0)
    x, t = draw.normal(size=(8, 3)), draw.integers(0, 3, 8)
    ours = NegativeLogLikelihood(checked=False).forward(x, t)
    assert ours == pytest.approx(F.nll_loss(torch.tensor(x), torch.tensor(t)).item(), rel=1e-14)
    with pytest.raises(UserError, match="no logarithm of a probability"):
        NegativeLogLikelihood().forward(x, t)


@pytest.mark.parametrize("bad", [np.array([[0.1, -1.0]]), np.array([[np.nan, -1.0]])])
def test_what_is_above_zero_or_nan_is_refused(bad):
    with pytest.raises(UserError, match="no logarithm"):
        NegativeLogLikelihood().forward(bad, np.array([1]))
