"""`shinso show PATH`: the card of one system or part, or a page of all that stand in a folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shinso.catalogue import index
from shinso.cli.command import Command, flag, option
from shinso.cli.layout import definitions, styled, terminal_width, wrap
from shinso.cli.list import entry, of_kind, print_json
from shinso.cli.phrases import language, say

if TYPE_CHECKING:
    from shinso.report.story import Chapter


def command() -> click.Command:
    return Command("show", show_card, [click.Argument(["path"], metavar="PATH"), option("page", "FILE", "show.page"),
                                       flag("json", "option.json")])


def show_card(*, path: str, page: str | None, json: bool) -> None:
    """Prints the card, with `json` the object that `list --json` has for it; with `page` writes it to be read."""
    if page:
        _write(path, Path(page))
        return
    one = index.card(path)
    if json:
        print_json(entry(one) | {"file": str(one.file)})
        return
    print("\n".join(card_lines(one)))


def _write(path: str, file: Path) -> None:
    """The page of one card, or of every card in the folder `path`."""
    from shinso.engine.disk import atomic_write_text
    from shinso.report.book import book

    everything = index.cards()
    cards = [everything[path]] if path in everything else of_kind(list(everything.values()), path)
    atomic_write_text(file, book(path, [_chapter(one) for one in cards], language()))
    print(say("show.written", file=file, count=len(cards)))


def _chapter(one: index.System) -> "Chapter":
    from shinso.report.story import Chapter, Claim

    pairs = zip(one.facts, one.facts_in("ja"), strict=True)
    claims = [Claim(fact.claim, fact.source, claim_ja=said.claim, source_ja=said.source) for fact, said in pairs]
    return Chapter(path=one.path, card=one.card, claims=claims, commands=_commands(one))


def _commands(one: index.System) -> list[str]:
    return [f"shinso run {one.path}"] * one.runs + [f"shinso check {one.path}"]


def card_lines(one: index.System) -> list[str]:
    """The card as text: what it is, its equations, claims, variants, fields, and where it stands."""
    card, ja = one.card, language() == "ja"
    name, other = (card["name_ja"], card["name"]) if ja else (card["name"], card["name_ja"])
    lines = [f"{styled(name, 'bold')}  {styled(other, 'dim')}", styled(card["paper"], "dim"), ""]
    lines += wrap(card["summary_ja" if ja else "summary"], terminal_width())
    lines += _section("word.equations", [(f"({i})", text) for i, text in enumerate(card["equations"], 1)])
    facts = [(fact.name, f"{fact.claim} [{fact.source}]") for fact in one.facts_in(language())]
    lines += _section("word.facts", facts)
    lines += _section("word.variants", [(v.name, _changes(v)) for v in one.variants])
    fields = [(f"--{f.name.replace('_', '-')}", f"{f.help} [{f.annotation}, {f.default}]")
              for f in one.fields_in(language())]
    lines += _section("word.fields", fields)
    notes = card.get("notes_ja" if ja else "notes") or card.get("notes", ())
    lines += _section("word.notes", [("*", note) for note in notes])
    lines += _section("word.topics", [("", ", ".join(card["topics"]))] if card["topics"] else [])
    lines += _section("word.file", [("", str(one.file))])
    return [*lines, "", *(styled(line, "cyan") for line in _commands(one))]


def _section(title: str, rows: list[tuple[str, str]]) -> list[str]:
    return ["", styled(say(title), "bold"), *definitions(rows)] if rows else []


def _changes(variant: index.Variant) -> str:
    return ", ".join(f"{k}={v}" for k, v in variant.changes.items()) or say("show.defaults")
