"""What the functions of probability take, and what they answer with one sentence."""

import numpy as np
import pytest
import torch

from shinso.core.errors import UserError
from shinso.maths.inputs import count, masses, numbers, positive, share, two_masses, unit, x_log_y


@pytest.mark.parametrize("values", [3, [1, 2], np.ones((2, 2), dtype=np.float32), torch.ones(3), True])
def test_numbers_become_their_own_float64(values):
    array = numbers("here", "x", values)
    assert array.dtype == np.float64 and not np.shares_memory(array, np.asarray(values))


WRONG = [None, "1", ["a"], 1j, [[1], [1, 2]], np.nan, [np.inf], torch.ones(1).requires_grad_()]


@pytest.mark.parametrize("values", WRONG)
def test_what_is_no_number_is_refused(values):
    with pytest.raises(UserError, match="here: x"):
        numbers("here", "x", values)


def test_axes_are_counted():
    with pytest.raises(UserError, match="2 axes"):
        numbers("here", "x", [[1.0]], 1)


def test_masses_may_be_off_by_rounding_alone():
    assert masses("here", "p", np.full(10, 0.1)).sum() == pytest.approx(1)
    for wrong in ([0.5, 0.5 + 1e-8], [1.0 + 1e-12, -1e-12], []):
        with pytest.raises(UserError, match="here: p"):
            masses("here", "p", wrong)
    with pytest.raises(UserError, match="shape"):
        two_masses("here", [1.0], [[1.0]])


def test_nothing_times_any_logarithm_is_nothing():
    assert x_log_y(np.array([0.0, 0.0, 0.5]), np.array([0.0, 2.0, 0.0])).tolist() == [0.0, 0.0, -np.inf]


@pytest.mark.parametrize("call", [
    lambda: share("here", "p", 1.1), lambda: positive("here", "s", 0.0), lambda: count("here", "n", 1.0),
    lambda: count("here", "n", -1), lambda: count("here", "n", True), lambda: unit("here", 1.0),
])  # fmt: skip
def test_single_values_have_their_ranges(call):
    with pytest.raises(UserError, match="here"):
        call()
