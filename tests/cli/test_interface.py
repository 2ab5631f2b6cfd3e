"""The words that others script against: verbs, options, exit codes, start-up without torch."""

import os
import subprocess
import sys
import time

import click
import pytest

from shinso.cli.main import VERBS, Verbs
from shinso.cli.phrases import PHRASES

FROZEN = {
    "list": ["--kind", "--json"],
    "show": ["PATH", "--page", "--json"],
    "run": ["PATH", "--variant", "--out", "--resume", "--checkpoint-every", "--keep", "--device", "--precision",
            "--compile", "--threads", "--json"],
    "predict": ["RUN", "FILE...", "--top", "--json"],
    "check": ["PATH", "--json"],
    "export": ["RUN", "--to", "--out", "--json"],
    "data list": ["--json"],
    "data check": ["SPEC", "--json"],
}


def surface(command: click.Command) -> list[str]:
    names = []
    for param in command.params:
        names.append(param.opts[0] if isinstance(param, click.Option) else param.metavar or (param.name or "").upper())
    return [name for name in names if name != "--help"]


def test_verbs_and_options_are_frozen():
    found = {}
    for verb in VERBS:
        command = Verbs().get_command(click.Context(Verbs()), verb)
        if isinstance(command, click.Group):
            found |= {f"{verb} {name}": surface(sub) for name, sub in command.commands.items()}
        else:
            found[verb] = surface(command)
    assert found == FROZEN


def test_every_command_explains_itself(shell):
    for words in [[], ["list"], ["show"], ["run"], ["predict"], ["check"], ["export"], ["data"], ["data", "list"],
                  ["data", "check"]]:
        said = shell(*words, "--help")
        assert said.code == 0 and said.out.startswith("Usage: shinso " + " ".join(words)), words
        assert said.err == ""


def test_run_help_lists_the_fields_of_the_system(shell):
    said = shell("run", "basics.line", "--help")
    assert "--break-at" in said.out and "step from which the loss is infinite; 0: never" in said.out
    assert "default 0.2" in said.out and "default, <b>bold</b>" in said.out


def test_help_of_another_variant_does_not_hide_the_options(shell):
    assert "--checkpoint-every N" in shell("run", "basics.line", "-h").out


@pytest.mark.parametrize(("words", "wanted"), [
    (["rum"], "did you mean 'run'?"),
    (["show", "basics.lime"], "did you mean 'basics.line'?"),
    (["show", "line"], "did you mean 'basics.line'?"),
    (["run", "basics.line", "--step", "3"], "did you mean '--steps'?"),
    (["run", "basics.line", "--break-att", "3"], "did you mean '--break-at'?"),
    (["run", "basics.line", "--variant", "smok"], "did you mean 'smoke'?"),
    (["run", "basics.line", "--steps", "ten"], "--steps: 'ten' is not a whole number"),
    (["run", "basics.line", "--lr", "fast"], "--lr: 'fast' is not a number"),
    (["run", "basics.line", "--shape", "lime"], "did you mean 'line'?"),
    (["run", "basics.line", "--sizes", "1,x"], "--sizes"),
    (["run", "basics.line", "--limit", "x"], "--limit"),
    (["run", "basics.line", "--precision", "fp8"], "auto, fp32, bf16"),
    (["run", "basics.line", "--threads", "0"], "whole number of at least 1"),
    (["run", "basics.line", "--steps"], "--steps needs a value"),
    (["run"], "PATH is missing"),
    (["show"], "PATH is missing"),
    (["data", "lst"], "did you mean 'list'?"),
    (["data", "check", "digit"], "did you mean 'digits'?"),
    (["export", "somewhere"], "--to"),
    (["run", "--resume", "nowhere"], "setup.json"),
    (["predict", "nowhere", "x.png"], "setup.json"),
    (["list", "more"], "shinso list"),
])  # fmt: skip
def test_a_slip_is_one_line_with_its_cure(shell, words, wanted):
    said = shell(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1 and said.err.startswith("shinso: ")
    assert wanted in said.err


USAGE = [
    (["--help"], 0), (["--version"], 0), (["list"], 0), (["list", "--json"], 0), (["show", "vision.lenet"], 0),
    (["run", "vision.lenet", "--help"], 0), (["data", "list"], 0), (["lst"], 2),
    (["list", "--kind", "vision"], 0), (["list", "--kind", "visoin"], 2),
    (["run", "vision.lenet", "--epoch", "1"], 2),
    (["run", "vision.lenet", "--epochs", "x"], 2), (["run", "vision.lent"], 2), (["data", "check", "digit"], 2),
    (["run", "vision.lenet", "--variant", "nosuch"], 2), (["export", "x", "--to", "y"], 2), (["predict"], 2),
]  # fmt: skip


def test_torch_is_imported_only_by_what_computes():
    """One process for each would take long: the modules are looked at after each command of one process."""
    script = f"""
import contextlib, io, sys
from shinso.cli.main import run
for words, code in {USAGE!r}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        found = run(words)
    heavy = {{"torch", "numpy", "matplotlib", "rich", "tensorboard", "PIL"}} & set(sys.modules)
    assert found == code and not heavy, (words, found, heavy)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("words", "limit"), [(["--help"], 0.3), (["list"], 0.8)])
def test_it_starts_at_once(words, limit):
    """On the clock on the wall; the quickest of five, of which no more are run than are needed."""
    times = []
    while len(times) < 5 and min(times, default=limit) >= limit:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "shinso", *words], capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    assert min(times) < limit, times


def test_a_reader_that_goes_away_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.Popen([sys.executable, "-m", "shinso", "list", "--json"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, err = done.communicate(timeout=30)
    assert err == b"" and done.returncode == 0


def test_debug_shows_the_trace_and_otherwise_nothing_does(shell):
    from shinso.cli.main import run
    from shinso.core.errors import UserError

    with pytest.raises(UserError):
        run(["show", "nosuch.path"], debug=True)
    assert "Traceback" not in shell("show", "nosuch.path").err


def test_phrases_have_both_languages_and_equal_placeholders():
    from string import Formatter

    for key, (en, ja) in PHRASES.items():
        names = [sorted({name for _, name, _, _ in Formatter().parse(text) if name}) for text in (en, ja)]
        if not key.endswith(".examples"):
            assert names[0] == names[1] and en and ja, key


def test_help_is_japanese_where_the_locale_is(shell, monkeypatch):
    monkeypatch.delenv("SHINSO_LANG")
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert shell("--help").out.startswith("Usage:")
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    assert shell("--help").out.startswith("使い方:")
    assert "直線" in shell("list").out
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert shell("--help").out.startswith("Usage:")
    monkeypatch.setenv("SHINSO_LANG", "ja")
    assert "コマンドはありません" in shell("lst").err


def test_every_phrase_is_said_somewhere_and_every_said_phrase_exists():
    import re
    from pathlib import Path

    import shinso.cli as package

    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(package.__path__[0]).glob("*.py")
                       if path.name != "phrases.py")  # fmt: skip
    quoted = set(re.findall(r"[\"']([a-z_]+\.[a-z_.]+)[\"']", source))
    by_command = re.compile(r".*\.(short|help|arguments|examples)")
    unused = {key for key in PHRASES if key not in quoted and not by_command.fullmatch(key)}
    assert unused == set()
    assert {key for key in re.findall(r'say\("([^"{]+)"', source)} <= set(PHRASES)
