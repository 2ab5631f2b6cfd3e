"""One-hot vectors against torch's, and what is refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff.byhand.one_hot import one_hot
from shinso.core.errors import UserError


@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (0,), (4, 1, 2)])
def test_it_is_torchs_for_any_shape(shape):
    classes = np.random.default_rng(0).integers(0, 5, shape)
    rows = one_hot(classes, 5)
    assert np.array_equal(rows, F.one_hot(torch.tensor(classes), 5).numpy())
    assert np.array_equal(rows.argmax(-1), classes)


def test_the_type_is_chosen():
    assert one_hot(np.array([1]), 3, np.float32).dtype == np.float32


@pytest.mark.parametrize("bad", [np.array([0, 5]), np.array([-1]), np.array([1.0])])
def test_what_is_no_class_is_refused(bad):
    with pytest.raises(UserError, match="one-hot: classes"):
        one_hot(bad, 5)
