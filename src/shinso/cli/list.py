"""`shinso list`: every system with its names and its summary; with `--kind` the parts of a folder too."""

import json
from collections import Counter
from typing import Any

import click

from shinso.catalogue import index
from shinso.cli.command import Command, flag, option
from shinso.cli.layout import definitions, styled, terminal_width, wrap
from shinso.cli.phrases import language, say
from shinso.core.errors import UserError
from shinso.core.setup import nearest


def command() -> click.Command:
    return Command("list", show_list, [option("kind", "KIND", "list.kind"), flag("json", "option.json")])


def show_list(*, kind: str | None, json: bool) -> None:
    """Prints the systems, or all cards of one kind; with `json` everything that all of them say."""
    cards = list(index.cards().values())
    found = of_kind(cards, kind) if kind else cards
    if json:
        print_json([entry(one) for one in found])
        return
    shown = found if kind else [one for one in cards if one.runs]
    for name in dict.fromkeys(map(_kind, shown)):
        print(styled(name, "bold"))
        for one in shown:
            if _kind(one) == name:
                print("\n".join(_lines(one)))
        print()
    if not kind:
        parts = Counter(_kind(one) for one in cards if not one.runs)
        counted = ", ".join(f"{name} ({count})" for name, count in parts.items())
        print("\n".join(wrap(say("list.parts", kinds=counted), terminal_width())) if parts else "")
    print("\n".join(wrap(say("list.next"), terminal_width())))


def entry(one: index.System) -> dict[str, Any]:
    """A card as JSON values: what it says, whether it runs, and what can be set; claims and helps also in Japanese."""
    return {
        "system": one.path,
        "runs": one.runs,
        **one.card,
        "facts": [vars(fact) for fact in one.facts],
        "variants": {v.name: v.changes for v in one.variants},
        "fields": [_told(field) for field in one.fields],
        "facts_ja": [vars(fact) for fact in one.facts_in("ja")],
        "fields_ja": [_told(field) for field in one.fields_in("ja")],
    }


def _told(field: index.Field) -> dict[str, str]:
    return {name: value for name, value in vars(field).items() if name != "file"}


def print_json(value: Any) -> None:
    """One JSON value on standard output, readable, with Japanese as it is."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def _kind(one: index.System) -> str:
    """The folder: basics, autodiff.byhand."""
    return one.path.rpartition(".")[0]


def of_kind(cards: list[index.System], kind: str) -> list[index.System]:
    """Those in the folder `kind` or below it; an unknown folder is refused with the nearest name."""
    found = [one for one in cards if f"{_kind(one)}.".startswith(f"{kind}.")]
    if not found:
        kinds = {".".join(one.path.split(".")[:n]) for one in cards for n in range(1, one.path.count(".") + 1)}
        raise UserError(kind, f"there is no kind '{kind}'", nearest(kind, kinds))
    return found


def _lines(one: index.System) -> list[str]:
    """The path, both names with the reader's first, and the summary under them."""
    ja = language() == "ja"
    name, other = (one.card["name_ja"], one.card["name"]) if ja else (one.card["name"], one.card["name_ja"])
    names = name if name == other else f"{name}  {other}"
    head = definitions([(one.path, names)], first=30 if terminal_width() >= 80 else 0)
    return head + [f"    {line}" for line in wrap(one.card["summary_ja" if ja else "summary"], terminal_width() - 4)]
