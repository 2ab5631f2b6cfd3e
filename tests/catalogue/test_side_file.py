"""A side file is read where it is there; one that cannot be read is a sentence with a cure, for its readers alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from shinso.catalogue import index
from shinso.core.errors import UserError

SYSTEM = '''
def one():
    """One is one.

    Source: counted
    """


CARD = Card(name="n", facts=(one,))


class Setup:
    lr: float = 1.0
    """learning rate"""


def build(setup):
    return None
'''


def system(root: Path, side: str | bytes | None) -> index.System:
    (root / "toys").mkdir()
    (root / "toys" / "count.py").write_text(SYSTEM, encoding="utf-8")
    if side is not None:
        (root / "toys" / "count.ja.toml").write_bytes(side if isinstance(side, bytes) else side.encode())
    return index.system("toys.count", root)


def test_claim_source_and_help_are_in_the_language_that_was_asked_for(tmp_path):
    side = '[facts]\none = "一は一である。"\n[sources]\none = "数えた"\n[fields]\nlr = "学習率"\n'
    one = system(tmp_path, side)
    assert [(f.claim, f.source) for f in one.facts_in("ja")] == [("一は一である。", "数えた")]
    assert [(f.name, f.help, f.default) for f in one.fields_in("ja")] == [("lr", "学習率", "1.0")]
    assert one.facts_in("en") == one.facts and one.fields_in("en") == one.fields
    assert one.facts[0].claim == "One is one." and one.fields[0].help == "learning rate"


@pytest.mark.parametrize("side", [None, "", "[sources]\n", '[facts]\nanother = "別の主張。"\n'])
def test_what_is_not_written_is_told_in_english(tmp_path, side):
    one = system(tmp_path, side)
    assert one.facts_in("ja") == one.facts and one.fields_in("ja") == one.fields


@pytest.mark.parametrize(("side", "said"), [
    ("[facts]\none = \n", r"not TOML: .*line 2"), ("[facts", "not TOML"), (b"[facts]\none = \"\xff\"\n", "not TOML"),
    ('[facts]\none = "a"\none = "b"\n', "not TOML"), ('[fact]\none = "a"\n', r"no table \[fact\]"),
    ('one = "a"\n', r"no table \[one\]"), ("[facts]\none = 1\n", "more than names and texts"),
    ('facts = "a"\n', "more than names and texts"), ('[facts.one]\nclaim = "a"\n', "more than names and texts"),
])  # fmt: skip
def test_a_file_that_cannot_be_read_says_where_and_what(tmp_path, side, said):
    one = system(tmp_path, side)
    with pytest.raises(UserError, match=rf"count\.ja\.toml: .*{said}"):
        one.facts_in("ja")
    assert one.facts_in("en") and one.card["name"] == "n", "who reads English does not need it"


def test_reading_imports_neither_torch_nor_numpy():
    code = ("import sys\nfrom shinso.catalogue import index\n"
            "for one in index.systems().values(): one.facts_in('ja'), one.fields_in('ja')\n"
            "print(sorted({'torch', 'numpy'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
