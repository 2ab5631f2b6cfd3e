"""What every program promises: repeatable, resumable at any step, finite, undisturbed by being looked at."""

import copy
import dataclasses
import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import records, same_tree
from torch import Tensor
from traces import LONGEST, PATHS, course, fresh, length, module, spread

from shinso.catalogue import index
from shinso.core.record import plain
from shinso.core.setup import from_json, to_json
from shinso.engine import checkpoint
from shinso.engine.checkpoint import Loaded
from shinso.engine.program import Evaluated, Files, Networked, Pictured
from shinso.engine.saving import resume, snapshot
from shinso.engine.tree import flatten, unflatten
from shinso.report.phrases import PHRASES


@pytest.mark.parametrize("path", PATHS)
def test_a_program_has_the_four_members_and_steps_enough_to_be_resumed(path):
    program = fresh(path)
    assert type(program.total) is int
    assert program.total >= LONGEST
    assert all(callable(getattr(program, name)) for name in ("step", "state", "restore"))


@pytest.mark.parametrize("path", PATHS)
def test_a_record_is_named_finite_scalars(path):
    program = fresh(path)
    for i in range(length(program)):
        record = program.step(i)
        assert record
        for name, value in record.items():
            assert isinstance(name, str) and name.isidentifier() and name == name.lower(), name
            assert type(value) in (int, float) or (isinstance(value, Tensor) and value.ndim == 0), (name, type(value))
            assert not (isinstance(value, Tensor) and value.requires_grad), f"{name} drags its graph along"
            assert math.isfinite(float(value)), f"{name} is {float(value)} at step {i}"


@pytest.mark.parametrize("path", PATHS)
def test_what_is_bounded_stays_under_its_bound_row_by_row(path):
    for k, row in enumerate(course(path)[0], start=1):
        for name, value in row.items():
            measured = "gap" if name == "bound" else name.removesuffix("_bound") if name.endswith("_bound") else ""
            if measured:
                assert row[measured] <= value * (1 + 1e-12), f"step {k}: {measured} above {name}"
        if "predicted" in row:
            assert abs(row["measured"] - row["predicted"]) <= row["within"], f"step {k}"


@pytest.mark.parametrize("path", PATHS)
def test_the_same_seed_gives_the_same_records(path):
    whole, _ = course(path)
    assert records(fresh(path, stray=77), 0, len(whole)) == whole


@pytest.mark.parametrize("path", PATHS)
def test_another_seed_gives_other_records(path):
    whole, _ = course(path)
    seed = module(path).VARIANTS["smoke"].seed + 1
    assert records(fresh(path, seed=seed), 0, len(whole)) != whole


@pytest.mark.parametrize("path", PATHS)
def test_a_setup_from_json_builds_the_same_program(path):
    system = module(path)
    again = system.build(from_json(system.Setup, to_json(system.VARIANTS["smoke"]), path))
    assert records(again, 0, 3) == course(path)[0][:3]


def resumed_is_exact(path: str, k: int) -> None:
    """From a checkpoint before step k, in a program and a process state that know nothing, the course is the same."""
    whole, states = course(path)
    program = fresh(path, stray=1000 + k)
    resume(program, {}, Loaded(k, copy.deepcopy(states[k]), Path("memory"), {}))
    assert same_tree(snapshot(program, {}), states[k]), f"{path}: restore({k}) is not what was saved"
    assert records(program, k, len(whole)) == whole[k:], f"{path}: resumed at {k}"
    assert same_tree(snapshot(program, {})["program"], states[-1]["program"]), f"{path}: another end after {k}"


@pytest.mark.parametrize("path", PATHS)
def test_resume_is_exact(path):
    for k in spread(len(course(path)[0]), 8):
        resumed_is_exact(path, k)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_resume_is_exact_at_every_step(path):
    for k in range(len(course(path)[0]) + 1):
        resumed_is_exact(path, k)


def stored_is_exact(path: str, k: int, folder: Path) -> None:
    """As above, through files."""
    whole, _ = course(path)
    program = fresh(path)
    head = records(program, 0, k)
    checkpoint.save(folder, k, snapshot(program, {}))
    records(program, k, min(k + 2, len(whole)))
    second = fresh(path, stray=2000 + k)
    done = resume(second, {}, checkpoint.load(folder))
    assert done == k
    assert head + records(second, k, len(whole)) == whole, f"{path}: resumed at {k}"


@pytest.mark.parametrize("path", PATHS)
def test_resume_through_the_store_is_exact(path, tmp_path):
    for k in spread(len(course(path)[0]), 4)[1:]:
        stored_is_exact(path, k, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_resume_through_the_store_is_exact_at_every_step(path, tmp_path):
    for k in range(len(course(path)[0]) + 1):
        stored_is_exact(path, k, tmp_path / str(k))


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
def test_looking_does_not_change_the_course(path):
    """Evaluation, pictures and examples, twice at two places, leave records and networks as they are.

    What a look found may be remembered in the state (the best weights so far), so only without networks the whole
    state must stay.
    """
    whole, states = course(path)
    program, untouched = fresh(path), fresh(path)
    seen = []
    for i in range(len(whole)):
        seen += records(program, i, i + 1)
        if i in (3, len(whole) - 1):
            assert looked_at(program) == looked_at(program), f"{path}: two looks at step {i} differ"
    assert seen == whole
    if isinstance(program, Networked):
        resume(untouched, {}, Loaded(len(whole), copy.deepcopy(states[-1]), Path("memory"), {}))
        for name, network in untouched.networks().items():
            assert same_tree(program.networks()[name].state_dict(), network.state_dict()), name
    else:
        assert same_tree(program.state(), states[-1]["program"])


def looked_at(program: object) -> dict[str, object]:
    seen: dict[str, object] = {}
    before = modes(program)
    if isinstance(program, Evaluated):
        seen = {split: plain(program.evaluate(split)) for split in ("validation", "test")}
        assert modes(program) == before, "evaluation leaves a network in another mode"
    if isinstance(program, Pictured):
        seen["pictures"] = {name: picture.tobytes() for name, picture in program.pictures().items()}
        assert modes(program) == before, "drawing leaves a network in another mode"
    if isinstance(program, Networked):
        seen["examples"] = sorted(program.example())
    return seen


def modes(program: object) -> dict[str, list[bool]]:
    """Whether each part of each network is in training mode."""
    if not isinstance(program, Networked):
        return {}
    return {name: [part.training for part in network.modules()] for name, network in program.networks().items()}


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
def test_pictures_are_bytes_of_colour(path):
    program = fresh(path)
    records(program, 0, 2)
    if not isinstance(program, Pictured):
        pytest.skip("this system draws nothing")
    pictures = program.pictures()
    assert pictures
    for name, picture in pictures.items():
        assert f"picture.{name}" in {**PHRASES, **index.card(path).words}, f"{name} has no caption in the report"
        assert name.replace("_", "").replace("-", "").isalnum() and name.isascii()
        assert isinstance(picture, np.ndarray) and picture.dtype == np.uint8, name
        assert picture.ndim == 3 and picture.shape[2] == 3 and min(picture.shape[:2]) >= 8, (name, picture.shape)
        assert picture.min() < picture.max(), f"{name} is empty"


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
    seconds = []
    for _ in range(3):
        records(fresh(path), 0, 2)
        program = fresh(path)
        start = time.process_time()
        records(program)
        seconds.append(time.process_time() - start)
        if seconds[-1] < 1:
            return
    assert min(seconds) < 1, f"{path}: {min(seconds):.2f} s for {fresh(path).total} steps"
