"""A checkpoint holds everything the rest of the run depends on: each random stream, the hooks, the program."""

import copy
import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import Tiny

from shinso.core.errors import UserError
from shinso.core.record import plain
from shinso.engine import checkpoint, rng, saving
from shinso.engine.checkpoint import Loaded, load
from shinso.engine.hooks import Best, Evaluate
from shinso.engine.loop import Row, run
from shinso.engine.program import Program


@pytest.fixture(autouse=True)
def _streams_put_back():
    before = rng.capture()
    yield
    rng.restore(before)


def rows(program: Program, start: int = 0) -> list[dict[str, float]]:
    return [plain(row.record) for row in run(program, start=start)]


@pytest.fixture
def halfway(tmp_path: Path) -> tuple[Loaded, list[dict[str, float]]]:
    """A checkpoint of step 5 of 10, and the rows 6 to 10 of the undisturbed run."""
    program = Tiny(10)
    saver = saving.Checkpointing(tmp_path, 5)
    list(itertools.islice(run(program, saver), 5))
    loaded = load(tmp_path)
    return loaded, rows(program, 5)


def test_a_resumed_run_is_the_same_run(halfway: tuple[Loaded, list[dict[str, float]]]):
    loaded, expected = halfway
    program = Tiny(10)
    start = saving.resume(program, {}, loaded)
    assert start == 5 and rows(program, start) == expected


POISONS = {
    "python": lambda state: state["rng"]["python"]["words"].__setitem__(slice(None, None, 2), 1),
    "numpy": lambda state: state["rng"]["numpy"]["state"]["key"].__setitem__(slice(None, None, 2), 1),
    "torch": lambda state: state["rng"].update(torch=torch.Generator().manual_seed(99).get_state()),
    "own torch generator": lambda state: state["program"].update(own=torch.Generator().manual_seed(99).get_state()),
    "own numpy generator": lambda state: state["program"].update(array=np.random.default_rng(99).bit_generator.state),
    "weights": lambda state: state["program"]["model"]["weight"][0, :1].add_(1e-3),
    "optimiser": lambda state: state["program"]["optimiser"]["state"][0]["exp_avg"].add_(1e-3),
}


@pytest.mark.parametrize("stream", POISONS)
def test_changing_one_stream_after_resume_changes_the_run(halfway: tuple[Loaded, list[Any]], stream: str):
    loaded, expected = halfway
    state = copy.deepcopy(loaded.state)
    POISONS[stream](state)
    program = Tiny(10)
    saving.resume(program, {}, Loaded(loaded.step, state, loaded.path, {}))
    assert rows(program, 5) != expected


def test_capture_and_restore_cover_every_global_stream():
    def draw() -> tuple[Any, ...]:
        return (random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(1).item(),
                torch.randn(3).tolist())  # fmt: skip

    random.gauss(0, 1), np.random.randn()  # each leaves a second value behind
    states = copy.deepcopy(rng.capture())
    expected = draw()
    assert draw() != expected
    rng.restore(states)
    assert draw() == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_capture_and_restore_cover_the_device():
    torch.rand(3, device="cuda")
    states = rng.capture()
    expected = torch.rand(3, device="cuda")
    rng.restore(states)
    assert torch.equal(torch.rand(3, device="cuda"), expected)


def test_hooks_remember(tmp_path: Path):
    first = Best("validation_loss", higher=False, patience=3)
    saver = saving.Checkpointing(tmp_path, 0, {"best": first, "plain": len}, better=lambda: first.improved)
    program = Tiny(9)
    list(run(program, Evaluate(), first, saver))
    saver.save_now(program)
    again = Best("validation_loss", higher=False, patience=3)
    assert saving.resume(Tiny(9), {"best": again}, load(tmp_path)) == 9
    assert again.state() == first.state() and again.value > -float("inf")
    assert load(tmp_path, "best").step == first.step


def test_saving_follows_its_rhythm(tmp_path: Path):
    program, log = Tiny(7), []
    saver = saving.Checkpointing(tmp_path, 3, keep=9, before=lambda: log.append(saver.step))
    for _ in run(program, saver):
        pass
    assert checkpoint.steps(tmp_path) == log == [3, 6]
    saver.save_now(program)
    saver.save_now(program)
    assert checkpoint.steps(tmp_path) == log == [3, 6, 7]


def test_nothing_is_saved_before_the_first_step(tmp_path: Path):
    saving.Checkpointing(tmp_path, 1).save_now(Tiny(1))
    assert checkpoint.steps(tmp_path) == []


def test_a_state_of_another_program_is_refused_in_one_line(halfway: tuple[Loaded, list[Any]]):
    loaded, _ = halfway

    class Other(Tiny):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Linear(7, 7)

    with pytest.raises(UserError, match="does not fit this program") as caught:
        saving.resume(Other(), {}, loaded)
    assert "step-5" in caught.value.line() and "\n" not in caught.value.line()
    with pytest.raises(UserError, match="does not fit"):
        saving.resume(Tiny(), {}, Loaded(5, {"other": 1}, loaded.path, {}))


def test_a_row_seen_by_the_saver_is_the_step_it_saves(tmp_path: Path):
    saver = saving.Checkpointing(tmp_path, 4)
    saver(Row(4, {}), Tiny())
    assert load(tmp_path).step == 4
