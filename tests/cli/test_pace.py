"""The command line's hooks: what they cost, what they remember, when they save."""

import time

import torch

from shinso.cli.pace import Judge, Pace, Recorder, Timed
from shinso.cli.progress import Progress, duration, figures, short, speed
from shinso.engine.folder import RunFolder
from shinso.engine.hooks import Evaluate, Watch
from shinso.engine.interrupt import Interruptible
from shinso.engine.loop import Row, run
from shinso.engine.saving import Checkpointing
from shinso.report.events import Events


class Nothing:
    """A program whose step costs nothing."""

    total, rhythm, watched = 20_000, 10_000, ("loss",)
    record = {"loss": torch.tensor(0.5)}  # noqa: RUF012

    def step(self, i):
        return self.record

    def evaluate(self, split):
        return {"loss": 0.1}

    def state(self):
        return {}

    def restore(self, state):
        pass


def test_the_whole_machinery_costs_less_than_25_microseconds_a_step(tmp_path):
    """Processor time, so that busy neighbours do not count; about 4 us on the machine where it was written."""
    program, folder, events = Nothing(), RunFolder.create(tmp_path / "a"), Events(tmp_path / "a")

    def write(values):
        folder.append(values)
        events.add(values)

    with folder, Progress(program.total, 0) as bar:
        judge = Judge(0)
        store = Checkpointing(folder.checkpoints, 0, {"best": judge})
        hooks = (Watch(), Timed(Evaluate()), judge, Recorder(program.total, write), Interruptible(), Timed(store),
                 Timed(Pace(store, 0)))
        began = time.process_time()
        for row in run(program, *hooks):
            bar.tick(row)
        spent = time.process_time() - began
    events.close()
    assert spent / program.total < 25e-6


def test_a_judge_chooses_its_figure_and_remembers_it():
    first = Judge(patience=2)
    for step, value in enumerate([0.5, 0.9, 0.8], 1):
        assert not first(Row(step, {}, {"validation_loss": 9.0, "validation_accuracy": value}), Nothing())
    second = Judge(patience=2)
    second.restore(first.state())
    assert second.best is not None and second.best.figure == "validation_accuracy" and second.best.step == 2
    assert second(Row(4, {}, {"validation_accuracy": 0.7}), Nothing()) and second.exhausted
    fresh = Judge(0)
    fresh.restore(Judge(0).state())
    assert fresh.best is None and not fresh.exhausted


def test_losses_are_judged_downwards():
    judge = Judge(0)
    judge(Row(1, {}, {"validation_loss": 2.0}), Nothing())
    judge(Row(2, {}, {"validation_loss": 1.0}), Nothing())
    assert judge.improved and judge.best is not None and judge.best.step == 2


def test_saving_that_nobody_asked_for_waits_until_it_pays(tmp_path):
    store = Checkpointing(tmp_path, 0, {})
    pace = Pace(store, 0)
    seen = Row(5, {}, {"validation_loss": 1.0})
    store(seen, Nothing())
    pace(seen, Nothing())
    assert store.saved == -1
    pace.at -= 3.0
    pace(Row(5, {}, {}), Nothing())
    assert store.saved == -1
    pace(seen, Nothing())
    assert store.saved == 5
    pace.at, pace.cost = time.perf_counter() - 3.0, 1.0
    assert not pace.due()


def test_figures_and_times_are_short():
    assert figures({"loss": 0.213749, "accuracy": 0.5, "a": 123456.0, "b": 1e-9, "c": 1.0}) == (
        "loss 0.2137  accuracy 0.5000  a 1.235e+05  b 1e-09")  # fmt: skip
    assert [duration(v) for v in (41, 725, 7391)] == ["0:41", "12:05", "2:03:11"]
    assert [speed(v) for v in (8.12, 412.3, 13204.0)] == ["8.1", "412", "13,204"] and short(0.0) == "0"
