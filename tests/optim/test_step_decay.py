"""Step decay at every place of a run, beside torch's."""

import pytest
import torch

from shinso.optim.step_decay import StepDecay, step_decay


def test_the_class_is_torchs():
    assert StepDecay is torch.optim.lr_scheduler.StepLR


@pytest.mark.parametrize(("progress", "expected"), [(0, 1), (1 / 3, 0.1), (0.33, 1), (2 / 3, 0.01), (1, 0.01)])
def test_three_parts_by_default(progress, expected):
    assert step_decay(progress) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("parts", [1, 2, 7, 49, 100])
def test_every_part_has_as_many_steps(parts):
    rates = [step_decay(t / (parts * 12), parts, 0.5) for t in range(parts * 12)]
    assert rates == [0.5 ** (t // 12) for t in range(parts * 12)]


def test_what_does_not_divide_the_run_still_never_rises():
    rates = [step_decay(t / 100, 7) for t in range(101)]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == 7
