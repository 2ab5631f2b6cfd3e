"""Conditional tables against counting, and what has no condition."""

from fractions import Fraction

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.maths.conditional import conditional, given, marginals, product


def test_two_dice_by_counting():
    pairs = [(a, b) for a in range(1, 7) for b in range(1, 7)]
    condition = [pair for pair in pairs if sum(pair) >= 10]
    both = [pair for pair in condition if pair[0] == 6]
    exact = Fraction(len(both), len(condition))
    assert conditional(len(both) / 36, len(condition) / 36) == pytest.approx(float(exact), abs=1e-15)


def test_tables_are_the_number_form():
    joint = np.random.default_rng(0).dirichlet(np.ones(6)).reshape(2, 3)
    a, b = marginals(joint)
    for i in range(2):
        for j in range(3):
            assert given(joint, "B")[i, j] == pytest.approx(conditional(joint[i, j], b[j]), abs=1e-15)
            assert given(joint, "A")[i, j] == pytest.approx(conditional(joint[i, j], a[i]), abs=1e-15)


def test_the_certain_condition_changes_nothing():
    assert conditional(0.3, 1.0) == 0.3 and conditional(0.0, 0.2) == 0.0


@pytest.mark.parametrize(("both", "condition"), [(0.0, 0.0), (0.5, 0.4), (-0.1, 0.5), (0.1, 1.5), (np.nan, 0.5)])
def test_what_is_not_defined_is_refused(both, condition):
    with pytest.raises(UserError):
        conditional(both, condition)


def test_an_empty_column_is_named():
    with pytest.raises(UserError, match="B = 1"):
        given([[0.5, 0], [0.5, 0]], "B")


def test_a_product_of_wrong_sizes_is_refused():
    with pytest.raises(UserError, match="fit"):
        product(np.ones((2, 3)) / 2, [0.5, 0.5], "B")
    with pytest.raises(UserError, match="condition"):
        given([[1.0]], "C")
