"""The loop counts and asks; hooks watch, judge and stop."""

import math

import pytest

from shinso.core.errors import Diverged
from shinso.engine.hooks import Best, Evaluate, Every, StopWhen, Watch
from shinso.engine.loop import Row, run


class Falling:
    """value = 1/(i+1); its validation figure follows a given list."""

    rhythm = 2
    watched = ("value",)

    def __init__(self, total=10, figures=(), values=None):
        self.total, self.figures, self.values = total, list(figures), values

    def step(self, i):
        return {"value": self.values[i] if self.values else 1 / (i + 1)}

    def evaluate(self, split):
        return {"figure": self.figures.pop(0)}

    def state(self):
        return {}

    def restore(self, state):
        pass


def test_who_asks_for_the_next_row_holds_the_clock():
    rows = run(Falling(total=1000))
    assert next(rows).step == 1 and next(rows).step == 2


def test_a_run_starts_where_it_is_told():
    assert [row.step for row in run(Falling(total=5), start=3)] == [4, 5]


def test_every_calls_on_multiples_and_at_the_end():
    seen = []
    list(run(Falling(total=7), Every(3, lambda row, program: seen.append(row.step))))
    assert seen == [3, 6, 7]


def test_stop_when_ends_after_the_row_that_satisfies_it():
    assert [row.step for row in run(Falling(), StopWhen(lambda row: row.record["value"] < 0.3))][-1] == 4


def test_evaluations_join_the_row_at_the_programs_rhythm():
    rows = list(run(Falling(total=5, figures=[3, 2, 1]), Evaluate()))
    assert [row.added for row in rows] == [{}, {"validation_figure": 3}, {}, {"validation_figure": 2},
                                           {"validation_figure": 1}]


def test_patience_counts_evaluations_without_improvement_and_survives_a_restart():
    figures = [5.0, 4.0, 4.5, 4.2, 4.1, 3.0]
    best = Best("validation_figure", higher=False, patience=3)
    rows = list(run(Falling(total=12, figures=figures), Evaluate(), best))
    assert rows[-1].step == 10 and best.step == 4
    again = Best("validation_figure", higher=False, patience=3)
    again.restore(best.state())
    assert again(Row(12, {}, {"validation_figure": 4.3}), Falling()) is True


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_watch_stops_at_the_step_that_left_the_finite_numbers(bad):
    with pytest.raises(Diverged) as stopped:
        list(run(Falling(total=5, values=[1, 1, bad, 1, 1]), Watch()))
    assert stopped.value.step == 3 and stopped.value.name == "value"


def test_a_watch_that_seldom_looks_looks_at_the_last_step():
    with pytest.raises(Diverged) as stopped:
        list(run(Falling(total=5, values=[1, 1, 1, 1, math.nan]), Watch(every=50)))
    assert stopped.value.step == 5


def test_growth_a_thousandfold_is_divergence_within_fifty_steps():
    values = [1.0] * 5 + [2000.0] * 60
    with pytest.raises(Diverged) as stopped:
        list(run(Falling(total=65, values=values), Watch()))
    assert 5 < stopped.value.step <= 55
    assert [*run(Falling(total=12, values=[1.0, 5000.0] + [1.0] * 10), Watch())][-1].step == 12
