"""The moving mean of a curve, against the mean written out."""

import random
from statistics import fmean

import pytest

from shinso.report.series import smooth


@pytest.mark.parametrize("length", [1, 59, 60, 61, 200, 601, 1234])
@pytest.mark.parametrize("pieces", [5, 30])
def test_it_is_the_mean_over_a_centred_window(length, pieces):
    draw = random.Random(length)
    values = [draw.uniform(-1, 1) for _ in range(length)]
    reach = length // (2 * pieces)
    plain = [fmean(values[max(0, i - reach) : i + reach + 1]) for i in range(length)]
    assert smooth(values, pieces) == pytest.approx(plain, abs=1e-12)


def test_a_curve_that_falls_by_fifty_powers_of_ten_keeps_its_small_values():
    values = [0.8**t for t in range(500)]
    smoothed = smooth(values)
    assert all(value > 0 for value in smoothed)
    assert smoothed[400] == pytest.approx(fmean(values[392:409]), rel=1e-12)
