"""Event files as the public reader sees them."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shinso.report.events import Events


def read(folder):
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def rows(first, last):
    found = [{"step": n, "loss": 1 / n} for n in range(first, last + 1)]
    return [row | ({"validation_accuracy": row["step"] / 100} if row["step"] % 5 == 0 else {}) for row in found]


def test_the_reader_sees_the_same_scalars(tmp_path):
    events = Events(tmp_path)
    for row in rows(1, 20):
        events.add(row)
        if row["step"] == 7:
            events.flush()
            assert [step for step, _ in read(tmp_path)["loss/train"]] == list(range(1, 8))
    events.close()
    found = read(tmp_path)
    assert set(found) == {"loss/train", "accuracy/validation"}
    assert found["loss/train"] == [(n, pytest.approx(1 / n, rel=1e-6)) for n in range(1, 21)]
    assert found["accuracy/validation"] == [(n, pytest.approx(n / 100, rel=1e-6)) for n in (5, 10, 15, 20)]


def test_after_a_resume_no_step_is_seen_twice(tmp_path):
    for start, end in [(0, 12), (8, 16), *((n, n + 1) for n in range(15, 30))]:  # more than nine within a second
        events = Events(tmp_path, start)
        for row in rows(start + 1, end):
            events.add(row)
        events.close()
    assert [step for step, _ in read(tmp_path)["loss/train"]] == list(range(1, 31))


def test_nothing_is_written_before_there_is_something(tmp_path):
    Events(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
