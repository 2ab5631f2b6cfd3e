"""The timeline is complete, in both languages, and keeps what its documents say apart."""

import re

import pytest

from shinso.basics.history import TIMELINE, disagreements, in_first_boom, table, told_by, years


def test_every_entry_is_of_one_document():
    assert len(told_by("000")) + len(told_by("004")) == len(TIMELINE)
    assert len({(entry.document, entry.event) for entry in TIMELINE}) == len(TIMELINE)


@pytest.mark.parametrize("entry", TIMELINE, ids=lambda entry: f"{entry.document}-{entry.event}")
def test_an_entry_has_words_in_both_languages_and_a_plausible_year(entry):
    assert entry.event and entry.event_ja and entry.source
    assert 1940 < entry.published < 2020
    assert entry.year is None or 1940 < entry.year < 2020


def test_the_two_years_of_the_perceptron_both_stand():
    assert years("Perceptron") == {"000": 1958, "004": 1957} == disagreements()["Perceptron"]


def test_the_first_boom_ends_before_backpropagation():
    boom = {entry.event for entry in TIMELINE if in_first_boom(entry)}
    assert {"Dartmouth workshop", "Perceptron", "Limits of the perceptron", "Prolog"} <= boom
    assert not boom & {"ENIAC", "Turing test", "Back-propagation", "AlexNet"}


def test_the_table_has_a_line_for_every_entry_in_either_language():
    lines = table("en").splitlines(), table("ja").splitlines()
    assert len(lines[0]) == len(lines[1]) == len(TIMELINE)
    assert all(re.match(r"(\d{4}|----)  .+  \[00[04]\]  \d{4}: ", line) for side in lines for line in side)
    assert "誤差逆伝播法" in table("ja") and "Back-propagation" in table("en")
