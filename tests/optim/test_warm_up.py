"""A warm-up joins any schedule without a jump."""

import pytest

from shinso.optim.cosine import cosine
from shinso.optim.one_cycle import one_cycle
from shinso.optim.step_decay import step_decay
from shinso.optim.warm_up import warm_up


@pytest.mark.parametrize("then", [cosine, step_decay, lambda progress: 1.0])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_line_meets_what_follows(then, share):
    schedule = warm_up(then, share, start=0.2)
    assert schedule(0) == pytest.approx(0.2) and schedule(share / 2) == pytest.approx(0.6)
    assert schedule(share - 1e-9) == pytest.approx(1, abs=1e-6) and schedule(share) == then(0)
    assert schedule(1) == then(1) and schedule((1 + share) / 2) == pytest.approx(then(0.5))


def test_two_warm_ups_are_two():
    late = warm_up(one_cycle, 0.2)
    assert late(0.1) != warm_up(cosine, 0.2)(0.9) and late(0.2) == one_cycle(0)
