"""Beside every system stands its Japanese: complete, not stale, and with the same numbers and names as the English."""

import re
import typing
from collections import Counter
from pathlib import Path

import pytest
from traces import CARDS

from shinso.catalogue import hints, index, japanese

JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?")
NAME = re.compile(r"\b[A-Z]{2,}\b|\bfloat\d+\b|\w+:[A-Z]+")
"""what is not translated: ELBO, XOR, PATH, float64, folder:PATH"""


def pairs(path: str) -> list[tuple[str, str, str]]:
    """Every English text that has a Japanese one, with its name: claims, sources, helps."""
    one = index.card(path)
    told = {"facts": {fact.name: fact.claim for fact in one.facts},
            "sources": {fact.name: fact.source for fact in one.facts},
            "fields": {field.name: field.help for field in one.fields if field.file == one.file}}
    return [(f"[{table}] {name}", told[table][name], text)
            for table in japanese.TABLES for name, text in one.japanese[table].items()]


def differences(english: str, said: str) -> list[str]:
    """Numbers and names that one of two texts has and the other lacks, each as often as it stands there."""
    numbers, others = (Counter(NUMBER.findall(text)) for text in (english, said))
    names = set(NAME.findall(english)) - set(re.findall(r"[A-Za-z:]+[0-9]*", said))
    return [*(numbers - others), *(others - numbers), *sorted(names)]


@pytest.mark.parametrize("path", CARDS)
def test_every_system_has_its_side_file(path):
    assert japanese.side_file(index.card(path).file).is_file()


@pytest.mark.parametrize("path", CARDS)
def test_it_has_every_fact_and_field_and_no_others_in_their_order(path):
    one = index.card(path)
    assert list(one.japanese["facts"]) == [fact.name for fact in one.facts]
    assert list(one.japanese["fields"]) == [field.name for field in one.fields if field.file == one.file]
    facts = [fact.name for fact in one.facts]
    assert list(one.japanese["sources"]) == [name for name in facts if name in one.japanese["sources"]]


@pytest.mark.parametrize("path", CARDS)
def test_it_is_japanese_and_claims_are_sentences(path):
    for name, english, said in pairs(path):
        assert JAPANESE.search(said) and not JAPANESE.search(english), name
        assert said == said.strip() and "\n" not in said, name
        assert said.endswith("。") == name.startswith("[facts]"), f"{name}: claims are sentences, the others are not"


@pytest.mark.parametrize("path", CARDS)
def test_numbers_and_names_are_those_of_the_english(path):
    for name, english, said in pairs(path):
        assert not differences(english, said), f"{path} {name}: {english} / {said}"


@pytest.mark.parametrize("path", CARDS)
def test_pictures_and_numbers_are_called_something_in_both_languages(path):
    for key, (english, said) in index.card(path).words.items():
        assert (JAPANESE.search(said) or said == english) and english.strip() and not JAPANESE.search(english), key
        assert not differences(english, said), f"{key}: {english} / {said}"


@pytest.mark.parametrize("path", CARDS)
def test_choices_that_the_english_names_are_named(path):
    one = index.card(path)
    for field in one.fields:
        choices = {c for c in typing.get_args(hints.hint(field.annotation)) if isinstance(c, str)} - {"and", "or"}
        for choice in (c for c in choices if re.search(rf"\b{c}\b", field.help)):
            said = japanese.read(japanese.side_file(field.file))["fields"][field.name]
            assert choice in said, f"{path}: {field.name} does not name {choice}"


def shared() -> dict[Path, dict[str, str]]:
    """The fields that several Setups are made from, by the file where their helps stand."""
    found: dict[Path, dict[str, str]] = {}
    for one in map(index.card, CARDS):
        for field in one.fields:
            if field.file != one.file:
                found.setdefault(field.file, {})[field.name] = field.help
    return found


def test_shared_fields_have_their_japanese_once():
    for file, helps in shared().items():
        said = japanese.read(japanese.side_file(file))["fields"]
        assert set(said) == set(helps), file
        for name, text in said.items():
            assert JAPANESE.search(text) and not differences(helps[name], text), f"{file} {name}"


def test_no_side_file_stands_alone():
    expected = {japanese.side_file(index.card(path).file) for path in CARDS} | set(map(japanese.side_file, shared()))
    assert set(index.ROOT.rglob("*.ja.toml")) == expected


@pytest.mark.parametrize(("english", "said", "number"), [
    ("79,510 of 1e-10", "1e-10 の 79,510", 0), ("79,510", "79,501", 2), ("N(0, 1)", "N(0, 1)", 0), ("2 of 2", "2", 1),
    ("128,64", "128,64", 0), ("the ELBO", "ELBOは", 0), ("the ELBO", "下限は", 1), ("float64", "float64", 0),
    ("folder:PATH", "folder:PATH など", 0), ("folder:PATH", "PATH", 1), ("two", "2", 1),
])  # fmt: skip
def test_the_comparison_sees_what_differs(english, said, number):
    assert len(differences(english, said)) == number
