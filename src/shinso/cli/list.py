"""`shinso list`: every system, one line each."""

import json
from typing import Any

import click

from shinso.catalogue import index
from shinso.cli.command import Command, flag
from shinso.cli.layout import styled, table
from shinso.cli.phrases import language, say


def command() -> click.Command:
    return Command("list", show_list, [flag("json", "option.json")])


def show_list(*, json: bool) -> None:
    """Prints the table, or with `json` everything that the cards say."""
    found = list(index.systems().values())
    if json:
        print_json([entry(one) for one in found])
        return
    ja = language() == "ja"
    rows = [[one.path, one.card["name_ja" if ja else "name"], one.card["summary_ja" if ja else "summary"]]
            for one in found]
    print("\n".join(table([say("word.system"), say("word.name"), say("word.summary")], rows)))
    print("\n" + styled(say("list.next"), "dim"))


def entry(one: index.System) -> dict[str, Any]:
    """A system as JSON values: its card, and what can be set; claims and helps once more in Japanese."""
    return {
        "system": one.path,
        **one.card,
        "facts": [vars(fact) for fact in one.facts],
        "variants": {v.name: v.changes for v in one.variants},
        "fields": [vars(field) for field in one.fields],
        "facts_ja": [vars(fact) for fact in one.facts_in("ja")],
        "fields_ja": [vars(field) for field in one.fields_in("ja")],
    }


def print_json(value: Any) -> None:
    """One JSON value on standard output, readable, with Japanese as it is."""
    print(json.dumps(value, ensure_ascii=False, indent=2))
