"""Surprise in every unit."""

import math

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.maths.self_information import self_information


@pytest.mark.parametrize("base", [2, math.e, 10])
def test_bases_are_units(base):
    p = np.array([0.001, 0.1, 0.5, 1.0])
    assert np.allclose(self_information(p, base), [-math.log(v, base) for v in p], rtol=1e-14)


def test_it_falls_with_the_probability():
    assert (np.diff(self_information(np.linspace(0, 1, 101))) < 0).all()


@pytest.mark.parametrize("p", [-0.1, 1.1, np.nan, "a"])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(UserError):
        self_information(p)


@pytest.mark.parametrize("base", [1, 0, -2, 0.5, np.inf, np.nan])
def test_what_is_no_base_is_refused(base):
    with pytest.raises(UserError, match="base"):
        self_information(0.5, base)
