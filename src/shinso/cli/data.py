"""`shinso data list` and `shinso data check SPEC`: which data sets there are, and what is in one."""

import ast
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from shinso.cli.command import Command, flag, help_option, usage
from shinso.cli.layout import definitions, printable, styled
from shinso.cli.list import print_json
from shinso.cli.phrases import say
from shinso.core.errors import UserError
from shinso.core.setup import nearest

VERBS = ("list", "check")
TAKES_ARGUMENT = {"folder": "folder:PATH"}
HIDDEN = ("described",)
FOLDER = Path(__file__).parent.parent / "data"


class DataVerbs(click.Group):
    """`data list` and `data check`."""

    def __init__(self) -> None:
        super().__init__("data", add_help_option=False, params=[help_option()])
        self.add_command(Command("list", show_list, [flag("json", "option.json")]))
        spec = click.Argument(["spec"], metavar="SPEC")
        self.add_command(Command("check", check, [spec, flag("json", "option.json")]))

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if args and args[0] not in VERBS:
            raise UserError("shinso data", say("error.verb", name=args[0]), nearest(args[0], VERBS))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        verbs = [(f"{name} {say(f'data.{name}.arguments')}", say(f"data.{name}.short")) for name in VERBS]
        lines = [*usage(self, ctx), "", styled(say("heading.commands"), "bold"), *definitions(verbs)]
        formatter.write("\n".join(lines) + "\n")


def command() -> click.Command:
    return DataVerbs()


def show_list(*, json: bool) -> None:
    """The names, each with the first line of its file."""
    found = known()
    if json:
        print_json([{"data": name, "summary": summary} for name, summary in found.items()])
        return
    rows = [(styled(TAKES_ARGUMENT.get(name, name), "bold"), summary) for name, summary in found.items()]
    print("\n".join(definitions([(term, text) for term, text in rows])))


def known() -> dict[str, str]:
    """Every data set and the first line about it, read as text."""
    found = {}
    for file in sorted(FOLDER.glob("[!_]*.py")):
        source = file.read_text(encoding="utf-8")
        name = file.stem.replace("_", "-")
        if "\ndef load(" in source and name not in HIDDEN:
            found[name] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


def check(*, spec: str, json: bool) -> None:
    """What was found, counts per class, warnings, and the command that trains on it."""
    name = spec.partition(":")[0]
    if name not in known():
        raise UserError(f"data '{spec}'", "there is no data set of this name", nearest(name, known()))
    from shinso.data.examples import open_data
    from shinso.data.survey import class_counts, concerns

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = open_data(spec)
    splits = class_counts(data)
    told = [str(warning.message) for warning in caught] + concerns(data)
    command = shlex.join(["shinso", "run", trains_on(data.about.form), "--data", spec])
    result = {"data": spec, "name": data.about.name, "classes": list(data.about.classes), "form": data.about.form,
              "shape": list(data.about.shape), "splits": {name: sum(n) for name, n in splits.items()},
              "counts": splits, "warnings": told, "command": command}
    if json:
        print_json(result)
        return
    _print(result)


def trains_on(form: str) -> str:
    """The first system that reads inputs of this form."""
    return {"points": "basics.mlp"}.get(form, "vision.lenet")


def _print(result: dict[str, Any]) -> None:
    shape = "x".join(map(str, result["shape"]))
    found = say("data.found", name=printable(result["name"]), classes=len(result["classes"]), shape=shape)
    print(styled(found, "bold"))
    for split, count in result["splits"].items():
        print("  " + say("data.split", split=split, count=f"{count:,}"))
    if len(result["classes"]) <= 40:
        rows = [(printable(name), "  ".join(str(found[k]) for found in result["counts"].values()))
                for k, name in enumerate(result["classes"])]
        print("\n".join(definitions(rows, indent=4)))
    for text in result["warnings"]:
        print(say("data.warning", text=printable(text)), file=sys.stderr)
    print(say("data.train_with", command=styled(printable(result["command"]), "cyan")))
