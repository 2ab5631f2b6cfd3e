"""Entropies against SciPy and torch."""

import numpy as np
import pytest
import torch
from scipy import stats

from shinso.core.errors import UserError
from shinso.maths.entropy import conditional_entropy, cross_entropy, entropy


@pytest.mark.parametrize("base", [2, np.e, 10])
def test_entropy_is_scipys(base):
    for p in np.random.default_rng(0).dirichlet(np.full(8, 0.3), 100):
        assert entropy(p, base) == pytest.approx(stats.entropy(p, base=base), abs=1e-13)


def test_cross_entropy_is_torchs_loss():
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.arange(20) % 5
    q = logits.softmax(1).numpy()
    ours = np.mean([cross_entropy(np.eye(5)[t], row) for t, row in zip(targets.tolist(), q, strict=True)])
    assert ours == pytest.approx(float(torch.nn.functional.cross_entropy(logits, targets)), abs=1e-13)


def test_a_certain_law_has_none_without_a_minus_sign():
    assert entropy([0.0, 1.0, 0.0]) == 0 and not np.signbit(entropy([1.0]))
    assert cross_entropy([1.0, 0.0], [0.0, 1.0]) == np.inf and cross_entropy([1.0, 0.0], [1.0, 0.0]) == 0


def test_knowing_never_raises_the_entropy_in_the_mean():
    for joint in np.random.default_rng(1).dirichlet(np.ones(12), 200).reshape(-1, 3, 4):
        assert conditional_entropy(joint) <= entropy(joint.sum(0)) + 1e-14


@pytest.mark.parametrize("p", [[0.5, 0.6], [1.5, -0.5], [np.nan, 1], [], [0.5, np.inf]])
def test_what_is_no_law_is_refused(p):
    with pytest.raises(UserError):
        entropy(p)


def test_different_shapes_are_refused():
    with pytest.raises(UserError, match="shape"):
        cross_entropy([0.5, 0.5], [1.0])
