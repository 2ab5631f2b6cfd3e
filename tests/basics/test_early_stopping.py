"""Stopping early: when, with which weights, and what a patient run does by itself."""

import pytest
import torch
from oracles import records

from shinso.basics import early_stopping
from shinso.basics.early_stopping import stopped_early
from shinso.core.record import plain


@pytest.mark.parametrize(("patience", "step"), [(1, 2), (2, 2), (3, 2), (4, 6), (9, 6)])
def test_patience_waits_for_a_better_step(patience, step):
    course = [(5.0, "a"), (3.0, "b"), (4.0, "c"), (3.5, "d"), (3.0, "e"), (2.0, "f"), (2.5, "g")]
    assert stopped_early(course, patience) == (step, course[step - 1][0], course[step - 1][1])


def test_nothing_is_asked_for_after_the_stop():
    def course():
        yield from [(1.0, 0), (2.0, 0), (2.0, 0)]
        raise AssertionError("a step after the stop")

    assert stopped_early(course(), 2)[0] == 1


def test_a_course_without_steps_is_refused():
    with pytest.raises(ValueError, match="without steps"):
        stopped_early([], 3)


def test_the_best_weights_answer_better_than_the_last():
    program = early_stopping.build(early_stopping.VARIANTS["default"])
    rows = records(program)
    best = min(range(len(rows)), key=lambda k: rows[k]["loss_held_out"])
    assert program.best_step == best + 1 < program.total / 2
    judged = plain(program.evaluate("test"))
    assert judged["loss"] < 0.9 * judged["loss_last"]
    assert judged["accuracy"] > judged["accuracy_last"]


def test_held_out_digits_move_no_weight():
    program = early_stopping.build(early_stopping.VARIANTS["smoke"])
    other = early_stopping.build(early_stopping.VARIANTS["smoke"])
    other.held = (torch.zeros_like(other.held[0]), other.held[1])
    records(program, 0, 20)
    records(other, 0, 20)
    assert torch.equal(program.W, other.W)
