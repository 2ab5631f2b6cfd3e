"""Parts - cards without a program - are listed by kind, shown and checked, and kindly refused by run."""

import json

import pytest

from shinso.catalogue import index

PART = '''"""A part. x = 1 (1)"""

from shinso.core.card import Card, exactly


def one():
    """The number one is one.

    Source: Peano 1889
    """
    return exactly(1, 1)


CARD = Card(
    name="One", name_ja="一", paper="Peano 1889", equations=("x = 1",), summary="A number.", summary_ja="数である。",
    topics=(), facts=(one,),
)
'''


@pytest.fixture
def parts(shell, tmp_path, monkeypatch):
    for path, text in {"numbers/one.py": PART, "numbers/real/two.py": PART,
                       "toys/run.py": PART + "\n\ndef build(setup):\n    return None\n"}.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(index, "ROOT", tmp_path)
    return shell


def test_list_names_the_kinds_that_hold_parts_and_shows_them_when_asked(parts):
    said = parts("list")
    assert "toys.run" in said.out and "numbers.one" not in said.out
    assert "numbers (1), numbers.real (1)" in said.out
    said = parts("list", "--kind", "numbers")
    assert "numbers.one" in said.out and "numbers.real.two" in said.out and "toys.run" not in said.out
    assert "One" in said.out and "一" in said.out


def test_list_json_says_what_runs(parts):
    runs = {entry["system"]: entry["runs"] for entry in json.loads(parts("list", "--json").out)}
    assert runs == {"numbers.one": False, "numbers.real.two": False, "toys.run": True}
    (only,) = json.loads(parts("list", "--kind", "numbers.real", "--json").out)
    assert only["system"] == "numbers.real.two"


def test_an_unknown_kind_is_refused_with_the_nearest(parts):
    said = parts("list", "--kind", "number")
    assert said.code == 2 and "did you mean 'numbers'?" in said.err and said.out == ""


def test_a_part_is_shown_without_a_run_and_checked(parts):
    said = parts("show", "numbers.one")
    assert "shinso check numbers.one" in said.out and "shinso run" not in said.out
    said = parts("check", "numbers.one")
    assert said.code == 0 and "The number one is one." in said.out


def test_run_refuses_a_part_with_what_can_be_done(parts):
    said = parts("run", "numbers.one")
    assert said.code == 2 and "no program to run" in said.err and "shinso check numbers.one" in said.err


def test_show_writes_a_page_of_one_card_or_of_a_folder(parts, tmp_path):
    file = tmp_path / "page.html"
    said = parts("show", "numbers", "--page", str(file))
    text = file.read_text(encoding="utf-8")
    assert said.code == 0 and "2" in said.out and text.count("<article") == 2 and text.count('class="equation"') == 2
    assert "The number one is one." in text and "一" in text and "shinso run" not in text
    parts("show", "toys.run", "--page", str(file))
    assert file.read_text(encoding="utf-8").count("<article") == 1
    said = parts("show", "number", "--page", str(tmp_path / "none.html"))
    assert said.code == 2 and "did you mean 'numbers'?" in said.err and not (tmp_path / "none.html").exists()
    said = parts("show", "numbers", "--page", str(tmp_path / "no" / "folder.html"))
    assert said.code == 2 and len(said.err.splitlines()) == 1
