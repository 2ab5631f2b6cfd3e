"""The end of a run: the test, the summary, curves and report, and what to type next."""

import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shinso.cli.phrases import language, say
from shinso.cli.progress import duration, short
from shinso.core.record import plain
from shinso.core.setup import to_json
from shinso.engine import checkpoint
from shinso.engine.folder import to_line
from shinso.engine.program import Evaluated, Files, Pictured, Predicts

if TYPE_CHECKING:
    from shinso.cli.training import Course
    from shinso.report.story import Story

SPANS = ("start", "steps", "evaluate", "save")


def interrupted(course: "Course", done: int, code: int) -> int:
    """Saved, not finished: says how to go on."""
    metrics = final_metrics(course.last, {})
    values = {"finished": False, "step": done, "total": course.program.total, "timing": course.timing}
    course.folder.write("summary.json", values)
    _print_json(course, metrics)
    _say(say("run.interrupted", step=f"{done:,}", total=f"{course.program.total:,}"))
    _say(f"  shinso run --resume {shlex.quote(str(course.folder.path))}")
    return code


def finish(course: "Course", done: int) -> int:
    """Tests, writes everything that a finished run has, and says where it is; returns 0."""
    best = _stop_early(course, done)
    began = time.perf_counter()
    test: dict[str, float] = {}
    if isinstance(course.program, Evaluated):
        test = {f"test_{name}": value for name, value in plain(course.program.evaluate("test")).items()}
    metrics = final_metrics(course.last, test)
    course.timing["evaluate"] = course.timing.get("evaluate", 0.0) + time.perf_counter() - began
    spent = sum(course.timing.get(span, 0.0) for span in SPANS)
    summary = {"finished": True, "step": done, "total": course.program.total, "checkpoint": best,
               "metrics": metrics, "timing": course.timing, "where": where(course), "command": command(course)}
    write_report(course, done, metrics, spent)
    course.folder.write("summary.json", summary)  # last: a run killed before it is tested and reported once more
    _closing_words(course, metrics, spent)
    _print_json(course, metrics)
    return 0


def final_metrics(last: Mapping[str, Any], test: Mapping[str, float]) -> dict[str, float]:
    """The last row and the test; `loss` always, and `return_mean` is the tested one."""
    metrics = {name: value for name, value in last.items() if name != "step"} | dict(test)
    if "test_return_mean" in metrics:
        metrics["return_mean"] = metrics["test_return_mean"]
    if "loss" not in metrics and "test_loss" in metrics:
        metrics["loss"] = metrics["test_loss"]
    return metrics


def command(course: "Course") -> str:
    """The command line that repeats the run here."""
    words = ["shinso", "run", course.system.path, "--variant", course.variant]
    for name, value in _changes(course).items():
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    place = course.place
    words += ["--device", place.device, "--precision", place.precision, "--threads", str(place.threads)]
    return shlex.join([*words, *(["--compile", "on"] if place.compile else [])])


def python_lines(course: "Course") -> str:
    """The lines that repeat the run in Python."""
    package, _, module = course.system.path.rpartition(".")
    changes = "".join(f", {name}={_literal(value)}" for name, value in _changes(course).items())
    place = course.place
    where = f'device="{place.device}", precision="{place.precision}", compile={place.compile}, threads={place.threads}'
    return "\n".join([
        "from dataclasses import replace", "", "from shinso.core.place import Place",
        "from shinso.engine import rng", "from shinso.engine.launch import prepare",
        "from shinso.engine.loop import run",
        f"from shinso.{package} import {module}", "",
        f"place = Place({where})",
        f'setup = replace({module}.VARIANTS["{course.variant}"]{changes})',
        "prepare(place)", f"rng.seed({getattr(course.setup, 'seed', 0)})",
        f"program = {module}.build(setup, place)", "for row in run(program):", "    print(row.step, dict(row.record))",
        *(['print(program.evaluate("test"))'] if isinstance(course.program, Evaluated) else []),
    ])  # fmt: skip


def where(course: "Course") -> dict[str, str]:
    """The machine and the versions, as text."""
    import numpy
    import torch

    place = course.place
    device = torch.cuda.get_device_name(place.device) if place.device.startswith("cuda") else place.device
    versions = {"shinso": course.folder.read_setup().get("version", ""), "torch": torch.__version__,
                "numpy": numpy.__version__, "Python": platform.python_version()}
    return {
        "device": device, "processor": processor(), "cores": str(os.cpu_count()), "threads": str(place.threads),
        "precision": place.precision, "compile": "on" if place.compile else "off",
        "system": f"{platform.system()} {platform.release()}",
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "folder": str(course.folder.path),
    }  # fmt: skip


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def write_report(course: "Course", done: int, metrics: Mapping[str, float], spent: float) -> None:
    """curves.png, pictures/*.png, files/* and report.html."""
    from PIL import Image

    from shinso.engine.disk import atomic_write_bytes, atomic_write_text
    from shinso.report.curves import draw_curves
    from shinso.report.page import page

    folder, rows = course.folder.path, list(course.folder.records())
    pictures = course.program.pictures() if isinstance(course.program, Pictured) else {}
    for name, image in pictures.items():
        (folder / "pictures").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "pictures" / f"{name}.png")
    files = course.program.files() if isinstance(course.program, Files) else {}
    for name, content in files.items():
        (folder / "files").mkdir(exist_ok=True)
        atomic_write_bytes(folder / "files" / name, content)
    draw_curves(rows, f"{course.system.card['name']} ({course.system.path}, {course.variant})", folder / "curves.png")
    story = told(course, done, metrics, spent, rows, pictures, files)
    atomic_write_text(folder / "report.html", page(story))


def told(course: "Course", done: int, metrics: Mapping[str, float], spent: float, rows: list[dict[str, Any]],
         pictures: Mapping[str, Any], files: Mapping[str, bytes]) -> "Story":
    """Everything that the report says."""
    from shinso.report.story import Choice, Claim, Story

    defaults = type(course.setup)()
    english, japanese = ({f.name: f.help for f in course.system.fields_in(code)} for code in ("en", "ja"))
    choices = [Choice(name, value, getattr(defaults, name), english.get(name, ""), japanese.get(name, ""))
               for name, value in vars(course.setup).items()]
    steps = course.timing.get("steps", 0.0)
    timing = {**{span: course.timing.get(span, 0.0) for span in SPANS}, "total": spent, "rate": done / max(steps, 1e-9)}
    claims = [Claim(fact.claim, fact.source, claim_ja=ja.claim, source_ja=ja.source)
              for fact, ja in zip(course.system.facts, course.system.facts_in("ja"), strict=True)]
    return Story(language=language(), system=course.system.path, variant=course.variant, card=course.system.card,
                 words=course.system.words, run=course.folder.path.name, steps=done,
                 total=course.program.total if not _stopped(course) else done,
                 metrics=metrics, rows=rows, choices=choices, timing=timing, where=where(course),
                 command=command(course), python=python_lines(course), claims=claims, pictures=pictures, files=files)


def _stop_early(course: "Course", done: int) -> str:
    """Says why the run ended; with early stopping the best weights are used from here on. Returns which they are."""
    judge, best = course.judge, course.judge.best
    if best is None or judge.patience == 0:
        return "latest"
    if judge.exhausted:
        words = {"step": f"{done:,}", "figure": best.figure, "patience": judge.patience, "best": f"{best.step:,}"}
        _say(say("run.stopped_early", **words))
    loaded = checkpoint.load(course.folder.checkpoints, "best", warn=_say)
    course.program.restore(loaded.state["program"])
    _say(say("run.best_restored", step=f"{loaded.step:,}"))
    return "best"


def _stopped(course: "Course") -> bool:
    return course.judge.exhausted


def _changes(course: "Course") -> dict[str, Any]:
    """Fields that differ from the variant's."""
    from shinso.catalogue.index import load

    module = load(course.system.path)
    base = to_json(module.VARIANTS.get(course.variant) or module.Setup())
    return {name: value for name, value in to_json(course.setup).items() if value != base[name]}


def _literal(value: Any) -> str:
    return repr(tuple(value)) if isinstance(value, list) else repr(value)


def _closing_words(course: "Course", metrics: Mapping[str, float], spent: float) -> None:
    folder = course.folder.path
    _say(say("run.finished", seconds=duration(spent) if spent >= 60 else f"{spent:.1f} s"))
    shown = {n: v for n, v in metrics.items() if n.startswith("test_")} or metrics
    for name, value in shown.items():
        _say(f"  {name}  {short(value)}")
    _say(say("run.report", file=folder / "report.html"))
    if isinstance(course.program, Predicts) and (folder / "data.json").exists():
        _say(say("run.next", command=f"shinso predict {shlex.quote(str(folder))} FILE..."))
    else:
        _say(say("run.next", command=f"shinso check {course.system.path}"))


def _print_json(course: "Course", metrics: Mapping[str, float]) -> None:
    if course.choices["json"]:
        print(to_line({"run": str(course.folder.path), "metrics": dict(metrics)}), flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
