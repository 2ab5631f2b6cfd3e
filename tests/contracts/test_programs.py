"""What every program promises: repeatable, resumable at any step, finite. That looks do not disturb it: test_looks."""

import copy
import dataclasses
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import records, same_tree
from stopwatch import least_seconds
from torch import Tensor
from toy import Walk
from traces import LONGEST, PATHS, Course, course, differ, faults_of, followed, fresh, module, spread

from shinso.catalogue import index
from shinso.core.record import plain
from shinso.core.setup import from_json, to_json
from shinso.engine import checkpoint
from shinso.engine.checkpoint import Loaded
from shinso.engine.program import Evaluated, Files, Networked
from shinso.engine.saving import resume, snapshot
from shinso.engine.tree import flatten, unflatten
from shinso.report.phrases import PHRASES

Make = Callable[[int], Any]
"""builds a program afresh, after disturbing the global random stream with a number"""


def maker(path: str) -> Make:
    return lambda stray: fresh(path, stray=stray)


@pytest.mark.parametrize("path", PATHS)
def test_a_program_has_the_four_members_and_steps_enough_to_be_resumed(path):
    program = fresh(path)
    assert type(program.total) is int
    assert program.total >= LONGEST
    assert all(callable(getattr(program, name)) for name in ("step", "state", "restore"))


@pytest.mark.parametrize("path", PATHS)
def test_a_record_is_named_finite_scalars(path):
    assert not course(path).faults


@pytest.mark.parametrize("path", PATHS)
def test_what_is_bounded_stays_under_its_bound_row_by_row(path):
    for k, row in enumerate(course(path).rows, start=1):
        for name, value in row.items():
            measured = "gap" if name == "bound" else name.removesuffix("_bound") if name.endswith("_bound") else ""
            if measured:
                assert row[measured] <= value * (1 + 1e-12), f"step {k}: {measured} above {name}"
        if "predicted" in row:
            assert abs(row["measured"] - row["predicted"]) <= row["within"], f"step {k}"


@pytest.mark.parametrize("path", PATHS)
def test_the_same_seed_gives_the_same_records(path):
    whole = course(path).rows
    assert records(fresh(path, stray=77), 0, len(whole)) == whole


@pytest.mark.parametrize("path", PATHS)
def test_another_seed_gives_other_records(path):
    assert differ(fresh(path, seed=module(path).VARIANTS["smoke"].seed + 1), course(path).rows)


@pytest.mark.parametrize("path", PATHS)
def test_a_setup_from_json_builds_the_same_program(path):
    system = module(path)
    again = system.build(from_json(system.Setup, to_json(system.VARIANTS["smoke"]), path))
    assert records(again, 0, 3) == course(path).rows[:3]


def resumed_is_exact(make: Make, seen: Course, k: int, stop: int) -> None:
    """From a checkpoint before step k, in a program and a process state that know nothing, the course is the same."""
    program = make(1000 + k)
    resume(program, {}, Loaded(k, copy.deepcopy(seen.states[k]), Path("memory"), {}))
    assert same_tree(snapshot(program, {}), seen.states[k]), f"restore({k}) is not what was saved"
    assert records(program, k, stop) == seen.rows[k:stop], f"resumed at {k}"
    assert same_tree(program.state(), seen.states[stop]["program"]), f"another state at {stop} after {k}"


def relayed_is_exact(make: Make, seen: Course) -> None:
    """Eight programs one after the other, each from the last one's checkpoint, go one course.

    What a state leaves out is lost to all that follow, so it shows where it would show to one that goes on alone.
    """
    stops = spread(len(seen.rows), 8)
    for k, stop in pairwise([*stops, stops[-1]]):
        resumed_is_exact(make, seen, k, stop)


@pytest.mark.parametrize("path", PATHS)
def test_resume_is_exact(path):
    relayed_is_exact(maker(path), course(path))


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_resume_is_exact_at_every_step(path):
    seen = course(path)
    for k in range(len(seen.rows) + 1):
        resumed_is_exact(maker(path), seen, k, len(seen.rows))


def stored_is_exact(make: Make, whole: list[dict[str, float]], stops: list[int], folder: Path) -> None:
    """As above, through files; and a program goes its way undisturbed by being saved."""
    saved, head = make(0), []
    for k in stops:
        head += records(saved, len(head), k)
        checkpoint.save(folder / str(k), k, snapshot(saved, {}))
    assert head + records(saved, len(head), len(whole)) == whole, "saving disturbs"
    for k, stop in pairwise([*stops, len(whole)]):
        program = make(2000 + k)
        assert resume(program, {}, checkpoint.load(folder / str(k))) == k
        assert records(program, k, stop) == whole[k:stop], f"resumed at {k}"


@pytest.mark.parametrize("path", PATHS)
def test_resume_through_the_store_is_exact(path, tmp_path):
    whole = course(path).rows
    stored_is_exact(maker(path), whole, spread(len(whole), 4)[1:], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_resume_through_the_store_is_exact_at_every_step(path, tmp_path):
    whole = course(path).rows
    for k in range(len(whole) + 1):
        stored_is_exact(maker(path), whole, [k], tmp_path / str(k))


@pytest.mark.parametrize("path", PATHS)
def test_the_state_is_a_tree_of_what_a_checkpoint_can_hold(path):
    program = fresh(path)
    for stop in (0, 3):
        records(program, 0, stop)
        state = program.state()
        assert_allowed(state, path)
        assert same_tree(unflatten(*flatten(state)), state)


def assert_allowed(node: object, place: str) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            assert type(key) in (str, int), f"{place}: key {key!r}"
            assert_allowed(value, f"{place}/{key}")
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            assert_allowed(value, f"{place}/{i}")
    else:
        plain_value = type(node) in (int, float, bool, str, type(None))
        assert plain_value or isinstance(node, (Tensor, np.ndarray)), f"{place}: {type(node)}"


@pytest.mark.parametrize("path", PATHS)
def test_an_evaluation_is_named_finite_numbers_with_a_loss(path):
    program = fresh(path)
    records(program, 0, 2)
    if not isinstance(program, Evaluated):
        pytest.skip("this system is not evaluated")
    assert type(program.rhythm) is int and program.rhythm >= 1
    for split in ("validation", "test"):
        measured = plain(program.evaluate(split))
        assert "loss" in measured or "return_mean" in measured
        assert all(math.isfinite(value) for value in measured.values()), measured


@pytest.mark.parametrize("path", PATHS)
def test_files_are_bytes_and_alike_for_a_seed(path):
    program, again = fresh(path), fresh(path, stray=5)
    if not isinstance(program, Files) or not isinstance(again, Files):
        pytest.skip("this system leaves no files")
    for one in (program, again):
        records(one, 0, 2)
    files = program.files()
    assert files and files == again.files()
    for name, content in files.items():
        assert isinstance(content, bytes) and content, name
        assert Path(name).name == name and name.isascii() and Path(name).suffix, name
        called = f"picture.{Path(name).stem}" in {**PHRASES, **index.card(path).words}
        assert called or not name.endswith((".gif", ".webp")), f"{name}: no caption"


@pytest.mark.parametrize("path", PATHS)
def test_networks_take_their_examples(path):
    program = fresh(path)
    if not isinstance(program, Networked):
        pytest.skip("this system holds no network")
    networks, examples = program.networks(), program.example()
    assert networks and set(examples) <= set(networks)
    for name, example in examples.items():
        network = copy.deepcopy(networks[name]).eval()
        with torch.no_grad():
            output = network(example)
        first = output[0] if isinstance(output, tuple) else output
        assert first.isfinite().all() and len(first) == len(example), name


@pytest.mark.parametrize("path", PATHS)
def test_a_network_comes_back_without_its_data(path, tmp_path):
    """Rebuilt from the description of its data alone, a program takes the trained state and is what it was."""
    setup = module(path).VARIANTS["smoke"]
    if "data" not in {f.name for f in dataclasses.fields(setup)}:
        pytest.skip("this system has no data")
    from shinso.data.examples import open_data, save_description

    save_description(open_data(setup.data).about, tmp_path / "data.json")
    program = fresh(path)
    records(program, 0, 3)
    again = fresh(path, data=f"described:{tmp_path / 'data.json'}")
    again.restore(copy.deepcopy(program.state()))
    for name, network in program.networks().items():
        assert same_tree(again.networks()[name].state_dict(), network.state_dict()), name
    assert again.evaluate("test") == {}, "there is nothing to measure"
    assert all(picture.ndim == 3 for picture in again.pictures().values())


@pytest.mark.parametrize("path", PATHS)
def test_smoke_takes_less_than_a_second(path):
    """CPU time of all steps on one thread after two steps of warm-up; building, which may read data, does not count."""
    if fresh(path).total == len(course(path).rows) and course(path).seconds < 1:
        return
    records(fresh(path), 0, 2)
    seconds = least_seconds(lambda: partial(records, fresh(path)), 1)
    assert seconds < 1, f"{path}: {seconds:.2f} s for {fresh(path).total} steps"


def walk(kind: type[Walk]) -> Make:
    """As `fresh` for a toy."""
    def make(stray: int) -> Walk:
        torch.manual_seed(stray)
        return kind()

    return make


class ForgetsAStreak(Walk):
    """Counts its steps out of sight, and rests at every tenth that it remembers."""

    steps = 0

    def step(self, i):
        self.steps += 1
        return {"distance": self.place.norm()} if self.steps % 10 == 0 else super().step(i)


class ForgetsItsGenerator(Walk):
    def state(self):
        return {"place": self.place}

    def restore(self, state):
        self.place = state["place"].clone()


class ForgetsWhatComesLate(Walk):
    """What the first step saw matters at the thirty-eighth only."""

    first = 0.0

    def step(self, i):
        record = super().step(i)
        self.first = float(self.place[0]) if i == 0 else self.first
        return {"distance": record["distance"] + (self.first if i == 37 else 0)}


class DrawsFromTheGlobalStream(Walk):
    def step(self, i):
        self.place += torch.randn(2)
        return {"distance": self.place.norm()}


class IsDisturbedByBeingSaved(Walk):
    def state(self):
        self.place = self.place * (1 + 1e-6)
        return super().state()


def test_a_faultless_program_is_resumed_exactly(tmp_path):
    seen = followed(walk(Walk)(0))
    relayed_is_exact(walk(Walk), seen)
    stored_is_exact(walk(Walk), seen.rows, [13, 27, 40], tmp_path)
    assert not differ(walk(Walk)(1), seen.rows)


@pytest.mark.parametrize("kind", [ForgetsAStreak, ForgetsItsGenerator, ForgetsWhatComesLate])
def test_what_a_state_leaves_out_is_seen(kind, tmp_path):
    seen = followed(walk(kind)(0))
    with pytest.raises(AssertionError):
        relayed_is_exact(walk(kind), seen)
    with pytest.raises(AssertionError):
        stored_is_exact(walk(kind), seen.rows, [13, 27, 40], tmp_path)


def test_a_program_that_saving_disturbs_is_seen(tmp_path):
    make = walk(IsDisturbedByBeingSaved)
    with pytest.raises(AssertionError, match="disturbs"):
        stored_is_exact(make, records(make(0)), [13, 27, 40], tmp_path)


def test_a_program_that_draws_from_the_global_stream_is_seen():
    make = walk(DrawsFromTheGlobalStream)
    assert differ(make(77), followed(make(0)).rows)


@pytest.mark.parametrize(("record", "number"), [
    ({"loss": 1.0, "steps": 3, "gap": torch.tensor(2.0)}, 0), ({}, 1), ({"Loss": 1.0}, 1), ({"a loss": 1.0}, 1),
    ({"loss": math.nan}, 1), ({"loss": torch.tensor(math.inf)}, 1), ({"loss": torch.zeros(2)}, 1), ({"loss": "1"}, 1),
    ({"loss": torch.ones((), requires_grad=True)}, 1), ({"right": True}, 1),
])  # fmt: skip
def test_faults_of_a_record_are_seen(record, number):
    assert len(faults_of(record)) == number
