"""The one-cycle schedule: its corners, and that it never goes above its peak."""

import pytest

from shinso.optim.one_cycle import one_cycle


def test_it_starts_low_peaks_at_a_quarter_and_ends_at_nothing():
    assert one_cycle(0) == pytest.approx(0.1) and one_cycle(0.25) == 1 and one_cycle(1) == pytest.approx(0)


@pytest.mark.parametrize("peak", [0.0, 0.1, 0.5, 0.9])
def test_it_rises_to_its_peak_and_falls_from_there(peak):
    rates = [one_cycle(t / 1000, peak=peak, start=0.2) for t in range(1001)]
    top = round(1000 * peak)
    assert max(rates) == rates[top] == 1
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert peak == 0 or rates[0] == 0.2
