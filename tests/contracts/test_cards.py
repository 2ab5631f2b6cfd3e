"""What every system and part says about itself is complete, true, and the same as text and imported."""

import re
from dataclasses import fields

import pytest
from stopwatch import least_seconds
from traces import CARDS, PATHS, module

from shinso.catalogue import index
from shinso.core.card import Card, Check
from shinso.report.equations import typeset

JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
FACTS = [(path, fact.name) for path in CARDS for fact in index.card(path).facts]


def test_there_are_systems():
    assert {"basics.perceptron", "sparse.ista"} <= set(PATHS)


@pytest.mark.parametrize("path", CARDS)
def test_the_card_read_as_text_is_the_card_imported(path):
    system = module(path)
    imported = {f.name: getattr(system.CARD, f.name) for f in fields(Card)}
    imported["facts"] = tuple(fact.__name__ for fact in system.CARD.facts)
    read = index.card(path).card
    assert {"notes": (), "notes_ja": (), "twin": "", **read} == imported


@pytest.mark.parametrize("path", CARDS)
def test_facts_are_functions_of_the_same_file(path):
    system = module(path)
    assert system.CARD.facts
    for fact in system.CARD.facts:
        assert fact.__module__ == system.__name__
        assert getattr(system, fact.__name__) is fact
    assert len({fact.__name__ for fact in system.CARD.facts}) == len(system.CARD.facts)


@pytest.mark.parametrize("path", CARDS)
def test_the_card_is_complete_in_both_languages(path):
    card = module(path).CARD
    for name in ("name", "name_ja", "paper", "summary", "summary_ja"):
        assert getattr(card, name).strip(), name
    assert JAPANESE.search(card.summary_ja)
    assert not JAPANESE.search(card.summary)
    assert card.summary.endswith(".") and card.summary_ja.endswith("。")
    assert len(card.notes) == len(card.notes_ja)
    assert all(JAPANESE.search(note) for note in card.notes_ja)
    assert not any(JAPANESE.search(note) for note in card.notes)
    assert re.search(r"\b(1[6-9]|20)\d\d", card.paper), "the paper has a year"


@pytest.mark.parametrize("path", CARDS)
def test_equations_are_numbered_in_the_docstring(path):
    card, doc = module(path).CARD, index.card(path).doc
    assert card.equations
    for number in range(1, len(card.equations) + 1):
        assert f"({number})" in doc, f"equation ({number}) of the card is not in the docstring"


@pytest.mark.parametrize("path", CARDS)
def test_every_equation_can_be_typeset(path):
    for latex in module(path).CARD.equations:
        assert typeset(latex).startswith("<svg"), latex


@pytest.mark.parametrize("path", CARDS)
def test_topics_are_rows_of_the_curriculum_and_claimed_once(path):
    card = module(path).CARD
    assert card.topics or path not in PATHS, "what runs serves a topic"
    assert all(re.fullmatch(r"[a-z0-9]+(\.[a-z0-9-]+)+", topic) for topic in card.topics)
    assert len(set(card.topics)) == len(card.topics)


def test_no_topic_is_claimed_twice():
    assert index.topics(index.cards().values())


@pytest.mark.parametrize(("path", "name"), FACTS)
def test_the_fact_holds_twice_alike_quickly_and_names_its_source(path, name):
    fact = getattr(module(path), name)
    said = next(one for one in index.card(path).facts if one.name == name)
    assert said.claim.endswith((".", "?")) and len(said.claim) > 15, said
    assert said.source, f"{path}.{name} has no line 'Source: ...'"
    check = fact()
    assert isinstance(check, Check)
    assert check.holds, f"{path}.{name}: measured {check.measured}, promised {check.low} to {check.high}"
    assert (check.low, check.high) != (float("-inf"), float("inf")), "a fact without a bound cannot fail"
    again: list[Check] = []
    seconds = least_seconds(lambda: lambda: again.append(fact()), 2)  # the first call, above, may have compiled
    assert all(one == check for one in again), "a fact measures the same twice"
    assert seconds < 2, f"{path}.{name} took {seconds:.1f} s of CPU"
