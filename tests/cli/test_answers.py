"""list, show, check, data: what they print and what they give to scripts."""

import json

from shinso.cli.check import bound


def test_list_json_is_the_cards(shell):
    (card,) = json.loads(shell("list", "--json").out)
    assert card["system"] == "basics.line" and card["name_ja"] == "直線" and card["topics"] == ["basics.line"]
    assert [fact["name"] for fact in card["facts"]] == ["slope", "parameters"]
    assert card["facts"][0]["claim"] == "The slope that generated the points is 3."
    assert card["facts"][0]["source"] == "this file"
    assert card["variants"]["smoke"] == {"steps": "40"}
    assert {"name": "lr", "annotation": "float", "default": "0.2", "help": "step size"} in card["fields"]


def test_list_is_a_line_for_each(shell):
    said = shell("list")
    assert "basics.line" in said.out and "A straight line <through> noisy points." in said.out and said.err == ""


def test_show_prints_the_card(shell):
    said = shell("show", "basics.line")
    for words in ("Line", "Gauss 1809", "y = w x + b", "A line has two parameters.", "--break-at", "basics/line.py"):
        assert words in said.out
    assert json.loads(shell("show", "basics.line", "--json").out)["system"] == "basics.line"


def test_check_json_is_every_fact_with_its_bounds(shell):
    said = shell("check", "basics.line", "--json")
    slope, parameters = json.loads(said.out)
    assert said.code == 0
    assert list(slope) == ["system", "fact", "claim", "source", "measured", "low", "high", "holds"]
    assert (slope["low"], slope["high"], slope["holds"]) == (2.7, 3.3, True)
    assert (parameters["measured"], parameters["low"], parameters["high"]) == (2, 2, 2)


def test_a_fact_that_fails_or_raises_is_exit_1(shell, monkeypatch):
    from shinso.catalogue import index
    from shinso.core.card import Check, at_most

    module = index.load("basics.line")

    def broken() -> Check:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(module, "slope", lambda: at_most(float("nan"), 1.0))
    monkeypatch.setattr(module, "parameters", broken)
    said = shell("check", "--json")
    assert said.code == 1
    slope, parameters = json.loads(said.out)
    assert slope["measured"] is None and slope["low"] is None and slope["high"] == 1 and not slope["holds"]
    assert parameters["error"] == "ZeroDivisionError: by nothing" and not parameters["holds"]
    said = shell("check", "basics.line")
    assert said.code == 1 and "2 of 2 facts do not hold" in said.out


def test_check_says_when_all_hold(shell):
    assert "2 of 2 facts hold" in shell("check").out


def test_bounds_are_written_as_people_do():
    assert [bound(2, 2), bound(None, 0.1), bound(1, None), bound(0.9, 1.1)] == ["= 2", "<= 0.1", ">= 1", "0.9 .. 1.1"]


def test_a_missing_extra_is_one_sentence_with_the_command(shell, monkeypatch):
    import sys

    from shinso.catalogue import index

    found = index.missing_package("rl.dqn", "gymnasium").line()
    assert found == "rl.dqn: it needs gymnasium, which is not installed. type: pip install 'shinso[rl]'."
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    shell("run", "basics.line", "--steps", 5, "--threads", 1, "--out", "a")
    said = shell("export", "a", "--to", "onnx")
    assert said.code == 2 and "pip install 'shinso[onnx]'" in said.err and said.err.count("\n") == 1


def test_data_list_reads_names_and_first_lines(shell):
    found = {entry["data"]: entry["summary"] for entry in json.loads(shell("data", "list", "--json").out)}
    assert found["digits"].startswith("The 1,797 handwritten digits") and "described" not in found
    assert "digits" in shell("data", "list").out


def test_data_check_says_what_was_found_and_what_trains_on_it(real):
    said = real("data", "check", "digits", "--json")
    found = json.loads(said.out)
    assert found["splits"] == {"train": 1258, "validation": 180, "test": 359} and found["warnings"] == []
    assert sum(map(sum, found["counts"].values())) == 1797 and found["shape"] == [1, 28, 28]
    assert found["command"] == "shinso run vision.lenet --data digits"
    assert "1,258" in real("data", "check", "digits").out


def test_python_m_shinso_is_the_same_program():
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "shinso", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("shinso ")


def test_the_command_that_is_proposed_can_be_typed(real, tmp_path):
    """Spaces and quotes in a folder's name; class names that no font has say nothing."""
    import shlex

    import numpy as np
    from PIL import Image

    for title in ("🐸", "犬"):
        folder = tmp_path / "my friend's photos" / title
        folder.mkdir(parents=True)
        for i in range(8):
            Image.fromarray(np.full((28, 28, 3), 10 * i, dtype=np.uint8)).save(folder / f"{i}.png")
    said = real("data", "check", "folder:my friend's photos", "--json")
    words = shlex.split(json.loads(said.out)["command"])
    assert words == ["shinso", "run", "vision.lenet", "--data", "folder:my friend's photos"]
    said = real(*words[1:], "--epochs", 1, "--threads", 1, "--out", "a")
    assert said.code == 0 and "Glyph" not in said.err


def test_help_fits_a_narrow_terminal(shell, monkeypatch):
    from shinso.cli.layout import width

    monkeypatch.setenv("SHINSO_LANG", "ja")
    monkeypatch.setenv("COLUMNS", "60")
    for verb in ("export", "check", "predict"):
        assert all(width(line) <= 60 for line in shell(verb, "--help").out.splitlines()), verb
