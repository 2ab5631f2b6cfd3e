"""What is read as text is what an import would give; the curriculum page is up to date."""

import dataclasses
from pathlib import Path

import pytest

from shinso.catalogue import curriculum, index
from shinso.catalogue.hints import check, hint
from shinso.core.errors import UserError

SYSTEMS = index.systems()
CARDS = index.cards()


@pytest.mark.parametrize("path", SYSTEMS)
def test_the_card_read_as_text_is_the_card(path):
    found, module = SYSTEMS[path], index.load(path)
    for field in dataclasses.fields(module.CARD):
        real = getattr(module.CARD, field.name)
        real = tuple(fact.__name__ for fact in real) if field.name == "facts" else real
        assert found.card.get(field.name, field.default) == real, field.name
    assert [v.name for v in found.variants] == list(module.VARIANTS)
    for field, real in zip(found.fields, dataclasses.fields(module.Setup), strict=True):
        assert field.name == real.name and field.help, field.name
        assert hint(field.annotation) == real.type
    for fact in found.facts:
        assert fact.claim and fact.source and fact.claim == getattr(module, fact.name).__doc__.splitlines()[0]


@pytest.mark.parametrize("path", SYSTEMS)
def test_no_field_hides_an_option_of_run(path):
    from shinso.cli.run import RunCommand

    options = {name.lstrip("-").replace("-", "_") for p in RunCommand().params for name in p.opts}
    assert not options & {field.name for field in SYSTEMS[path].fields}


@pytest.mark.parametrize("path", SYSTEMS)
def test_every_system_has_a_test_and_both_languages(path):
    assert (curriculum.REPOSITORY / curriculum.test_file(SYSTEMS[path])).is_file()
    card = SYSTEMS[path].card
    assert card["name_ja"] and card["summary_ja"] != card["summary"]
    assert len(card.get("notes", ())) == len(card.get("notes_ja", ()))


def test_the_curriculum_page_is_up_to_date():
    """If this fails: python -m shinso.catalogue.curriculum"""
    assert curriculum.PAGE.read_text(encoding="utf-8") == curriculum.page(CARDS, curriculum.ELSEWHERE)


@pytest.mark.parametrize(("topic", "target"), curriculum.ELSEWHERE.items())
def test_topics_without_a_card_lead_to_a_test(topic, target):
    file, _, name = target.partition("::")
    assert f"def {name}(" in (curriculum.REPOSITORY / file).read_text(encoding="utf-8")
    assert topic not in index.topics(CARDS.values())


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


MINIMAL = 'CARD = Card(name="n", topics={topics})\n\n\ndef build(setup):\n    return None\n'


def test_files_without_a_card_or_a_build_are_no_systems(tmp_path):
    write(tmp_path, "vision/one.py", "\n" + MINIMAL.format(topics='("a",)'))
    write(tmp_path, "vision/part.py", '\nCARD = Card(name="n")\n')
    write(tmp_path, "vision/_kitchen.py", "\n" + MINIMAL.format(topics="()"))
    write(tmp_path, "vision/__init__.py", "\n" + MINIMAL.format(topics="()"))
    write(tmp_path, "top.py", "\n" + MINIMAL.format(topics="()"))
    assert list(index.systems(tmp_path)) == ["vision.one"]
    assert list(index.cards(tmp_path)) == ["vision.one", "vision.part"]
    assert index.card("vision.part", tmp_path).card == {"name": "n"}
    assert index.system("vision.one", tmp_path).card == {"name": "n", "topics": ("a",)}
    for path in ("vision._kitchen", "vision.part", "..vision.one", "vision/one", "", "vision"):
        with pytest.raises(UserError):
            index.system(path, tmp_path)


def test_a_topic_is_claimed_once(tmp_path):
    write(tmp_path, "vision/one.py", "\n" + MINIMAL.format(topics='("a",)'))
    write(tmp_path, "vision/two.py", "\n" + MINIMAL.format(topics='("a",)'))
    with pytest.raises(UserError, match=r"topic a is already claimed by vision\.one"):
        index.topics(index.systems(tmp_path).values())


def test_a_card_that_must_be_computed_is_refused(tmp_path):
    write(tmp_path, "vision/one.py", '\nCARD = Card(name="n" + "m")\n\n\ndef build(setup):\n    return None\n')
    with pytest.raises(UserError, match="expression"):
        _ = index.system("vision.one", tmp_path).card


def test_reading_never_runs_the_file(tmp_path):
    write(tmp_path, "vision/one.py", "raise SystemExit\n" + MINIMAL.format(topics="()"))
    assert index.systems(tmp_path)["vision.one"].card["name"] == "n"


@pytest.mark.parametrize(("annotation", "good", "bad"), [
    ("int", "3", "3.5"), ("float", "1e-3", "x"), ("bool", "on", "maybe"), ("tuple[int, ...]", "1,2", "1,b"),
    ("int | None", "none", "x"), ('Literal["a", "b"]', "a", "c"), ("Literal['a'] | None", "none", "c"),
])  # fmt: skip
def test_values_are_checked_from_the_text_of_their_type(annotation, good, bad):
    check(annotation, good, "here")
    with pytest.raises(UserError):
        check(annotation, bad, "here")


def test_unknown_types_are_left_to_the_import():
    assert hint("dict[str, Path]") is None and hint("not python(") is None
