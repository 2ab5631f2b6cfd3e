"""A run from its setup to its end: build, step, record, save, stop when asked; or go on where one was left."""

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from shinso.catalogue import index
from shinso.cli.following import follow, normalises, same_number, start_together
from shinso.cli.layout import transient
from shinso.cli.pace import Judge, Pace, Recorder, Shield, Timed
from shinso.cli.phrases import say
from shinso.cli.progress import Progress
from shinso.cli.settings import restored_setup
from shinso.core.errors import Diverged, UserError
from shinso.core.place import Place, process
from shinso.core.setup import replace_fields
from shinso.data.examples import Dataset, save_description
from shinso.engine import checkpoint, launch, rng, saving, team
from shinso.engine.folder import RunFolder, to_line
from shinso.engine.hooks import Evaluate, Watch
from shinso.engine.interrupt import Interruptible
from shinso.engine.loop import Row, run
from shinso.engine.program import Evaluated, Program
from shinso.kernels.allocator import keep_pages
from shinso.report.events import Events


@dataclass
class Course:
    """One run under way."""

    system: index.System
    variant: str
    setup: Any
    place: Place
    program: Program
    folder: RunFolder
    choices: Mapping[str, Any]
    """the options of the command line: checkpoint_every, keep, json"""
    start: int = 0
    judge: Judge = field(default_factory=lambda: Judge(0))
    timing: dict[str, float] = field(default_factory=dict)
    """seconds spent so far, earlier sessions of the same run included"""
    last: dict[str, Any] = field(default_factory=dict)
    """the row that was written last"""


def begin(path: str, variant: str, texts: Mapping[str, str], choices: Mapping[str, Any], began: float) -> int:
    """A new run; returns the exit code."""
    keep_pages()
    system, module = index.system(path), index.load(path)
    setup = replace_fields(module.VARIANTS[variant], texts, path)
    place = launch.resolve(choices["device"], choices["precision"], choices["compile"], choices["threads"])
    place = launch.among_others(place)
    if choices["out"] is not None and place.rank == 0 and (Path(choices["out"]) / "setup.json").exists():
        raise UserError(choices["out"], "there is a run here already", f"continue it with --resume {choices['out']}")
    program = _build(module, setup, place)
    if place.rank:
        return follow(program, place)
    if choices["threads"] is None and place.device == "cpu" and place.processes == 1:
        streams = rng.capture()
        place = replace(place, threads=launch.trial(program))
        launch.prepare(place)
        rng.restore(streams)
    folder = RunFolder.create(Path(choices["out"]) if choices["out"] is not None else _fresh(Path("runs"), path))
    with folder:
        data = getattr(program, "data", None)
        if isinstance(data, Dataset):
            save_description(data.about, folder.path / "data.json")
        # Behind everything else, because a folder with a setup is a run that can be resumed.
        folder.write_setup(system=path, variant=variant, setup=setup, place=place, version=version("shinso"))
        course = Course(system, variant, setup, place, program, folder, choices)
        with team.joined(place):
            return _drive(course, began)


def resume(path: Path, system: str | None, choices: Mapping[str, Any], began: float) -> int:
    """Continues the run in `path` with the setup and the place that it was started with; returns the exit code."""
    keep_pages()
    values = RunFolder(path).read_setup()
    if system not in (None, values["system"]):
        raise UserError(path, f"this is a run of {values['system']}, not of {system}", "leave the path out")
    if (summary := _summary(path)).get("finished"):
        if process()[0]:
            return 0
        report = path / "report.html"
        print(say("run.already", step=summary["step"], total=summary["total"], file=report), file=sys.stderr)
        _print_last(path, summary.get("metrics", {}), choices)
        return 0
    module, setup, place = restored_setup(path, values)
    launch.resolve(place.device, place.precision, "on" if place.compile else "off", place.threads)
    place = same_number(path, place)
    if place.rank:
        return follow(_build(module, setup, place), place, RunFolder(path).checkpoints)
    with RunFolder.resume(path) as folder, team.joined(place):
        program = _build(module, setup, place)
        course = Course(index.system(values["system"]), values["variant"], setup, place, program, folder, choices)
        course.timing = dict(summary.get("timing", {}))
        return _drive(course, began, again=True)


def _build(module: ModuleType, setup: Any, place: Place) -> Program:
    launch.prepare(place)
    rng.seed(getattr(setup, "seed", 0))
    program = module.build(setup, place)
    if place.processes > 1 and not getattr(program, "shares", False):
        raise UserError(module.__name__.removeprefix("shinso."), "this program does not share its work among processes",
                        "run it without torchrun")
    return program


def _drive(course: Course, began: float, *, again: bool = False) -> int:
    """Assembles the hooks, drains the loop, and ends the run one way or another."""
    from shinso.cli.ending import finish, interrupted

    program, folder, total = course.program, course.folder, course.program.total
    course.judge = judge = Judge(getattr(course.setup, "patience", 0))
    watch, evaluate = Watch(every=1 if course.place.device == "cpu" else 50), Timed(Evaluate())
    hooks = {"best": judge, "watch": watch}
    if again:
        course.start = _rewind(course, hooks)
        if course.place.processes > 1:
            start_together(course.place, course.start)
    _announce(course, began)
    events = Events(folder.path, course.start)
    wish, bar = Interruptible(), Progress(total, course.start)
    ending = wish
    if course.place.processes > 1:
        ending = team.EndTogether(course.place, wish, lambda: judge.exhausted)
    recorder = Recorder(total, lambda values: _write(values, course, events, bar))
    every = course.choices["checkpoint_every"] or 0
    pace: Pace | None = None

    def better() -> bool:
        return judge.improved and (bool(every) or judge.patience > 0 or pace is None or pace.due())

    store = saving.Checkpointing(folder.checkpoints, every, hooks, keep=course.choices["keep"], better=better,
                                 before=lambda: _settle(folder, events))
    pace, save = Pace(store, every), Timed(store)
    paced = Timed(pace)
    shield = Shield(evaluate)
    evaluating = [evaluate if course.place.processes > 1 else shield] if isinstance(program, Evaluated) else []
    row: Row | None = None
    loop_began = time.perf_counter()
    _add(course, "start", loop_began - began)
    try:
        with wish, bar:
            if not judge.exhausted:
                rows = run(program, watch, *evaluating, judge, recorder, ending, save, paced, start=course.start)
                for row in rows if course.place.processes > 1 else shield.rows(rows, program):
                    bar.tick(row)
            if row is not None:
                bar.finish(row)
            began_save = time.perf_counter()
            store.save_now(program)
            save.seconds += time.perf_counter() - began_save
    except Diverged as error:
        _take_times(course, loop_began, evaluate, [save, paced])
        folder.write("summary.json", {"finished": False, "diverged": str(error), "timing": course.timing})
        raise
    finally:
        with ExitStack() as stack:
            stack.callback(events.close)
    _take_times(course, loop_began, evaluate, [save, paced])
    done = row.step if row is not None else course.start
    if shield.error is not None:
        raise _saved(shield.error, course, done, learned=row is not None)
    if wish.signal is not None and done < total and not judge.exhausted:
        return interrupted(course, done, wish.exit_code)
    return finish(course, done)


def _saved(error: UserError, course: Course, done: int, *, learned: bool) -> UserError:
    """`error`, after saying how the run goes on once its data are mended."""
    from shinso.cli.ending import interrupted

    if learned:
        interrupted(course, done, 2)
    return error


def _rewind(course: Course, hooks: Mapping[str, object]) -> int:
    """Back to the latest good checkpoint; a run that was killed before its first one starts anew."""
    folder = course.folder
    if not checkpoint.steps(folder.checkpoints):
        start = 0
    else:
        loaded = checkpoint.load(folder.checkpoints, warn=lambda text: print(f"shinso: {text}", file=sys.stderr))
        start = saving.resume(course.program, hooks, loaded)
    folder.truncate(start)
    for written in folder.records():
        course.last = written
    return start


def _write(values: dict[str, Any], course: Course, events: Events, bar: Progress) -> None:
    course.last = values
    course.folder.append(values)
    events.add(values)
    if course.choices["json"]:
        sys.stdout.write(to_line(values) + "\n")
        sys.stdout.flush()
    judged = {name: value for name, value in values.items() if name.startswith("validation_")}
    if judged:
        bar.tell(values["step"], judged, last=values["step"] == course.program.total)


def _settle(folder: RunFolder, events: Events) -> None:
    """What a checkpoint builds on is on the disk before it: a resumed run writes only what comes after."""
    folder.flush()
    events.flush()


def _announce(course: Course, began: float) -> None:
    place, compiled = course.place, "on" if course.place.compile else "off"
    transient("")
    print(say("run.place", path=course.system.path, variant=course.variant, device=place.device, threads=place.threads,
              precision=place.precision, compile=compiled, steps=f"{course.program.total:,}"), file=sys.stderr)
    print(say("run.folder", folder=course.folder.path), file=sys.stderr)
    if place.processes > 1:
        print(say("run.apart" if normalises(course.program) else "run.shared", processes=place.processes),
              file=sys.stderr)
    if course.start:
        print(say("run.continues", step=f"{course.start:,}", total=f"{course.program.total:,}"), file=sys.stderr)


def _add(course: Course, name: str, seconds: float) -> None:
    course.timing[name] = course.timing.get(name, 0.0) + seconds


def _take_times(course: Course, loop_began: float, evaluate: Timed, saves: list[Timed]) -> None:
    whole = time.perf_counter() - loop_began
    saved = sum(save.seconds for save in saves)
    _add(course, "steps", whole - evaluate.seconds - saved)
    _add(course, "evaluate", evaluate.seconds)
    _add(course, "save", saved)


def _fresh(parent: Path, system: str) -> Path:
    """`parent/SYSTEM-yyyymmdd-hhmmss`, with -2, -3 ... when it is taken; made here, so that no other run gets it."""
    parent.mkdir(exist_ok=True)
    name = f"{system}-{datetime.now():%Y%m%d-%H%M%S}"
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        try:
            (parent / f"{name}{suffix}").mkdir()
            return parent / f"{name}{suffix}"
        except FileExistsError:
            continue
    raise UserError(parent / name, "a thousand runs have this name", "choose a folder with --out")


def _summary(path: Path) -> dict[str, Any]:
    """summary.json where there is one, each part that is used of the type that a run writes."""
    if not (path / "summary.json").exists():
        return {}
    found = RunFolder(path).read("summary.json")
    timing, metrics = found.get("timing", {}), found.get("metrics", {})
    good = isinstance(timing, dict) and isinstance(metrics, dict)
    good = good and all(type(value) in (int, float) for value in timing.values())
    if not good or (found.get("finished") and not {"step", "total"} <= found.keys()):
        raise UserError(path / "summary.json", "is not what a run writes there", "delete it and resume again")
    return found


def _print_last(path: Path, metrics: Mapping[str, float], choices: Mapping[str, Any]) -> None:
    if choices["json"]:
        print(to_line({"run": str(path), "metrics": metrics}), flush=True)
