"""`shinso run`: what was typed, checked as far as possible before torch is imported."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from shinso.catalogue import hints, index
from shinso.cli.command import Command, examples, flag, number, option, usage
from shinso.cli.layout import definitions, styled, transient
from shinso.cli.phrases import language, say
from shinso.core.errors import UserError
from shinso.core.setup import nearest

FLAGS = ("--json", "--help", "-h")
WITH_RESUME = ("path", "resume", "checkpoint_every", "keep", "json")
PREFIX = "field_"


class RunCommand(Command):
    """`run`, whose options are its own and, once the system is known, one for each field of its Setup."""

    def __init__(self) -> None:
        super().__init__("run", None, [click.Argument(["path"], required=False), *_options()])
        self.system: index.System | None = None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        path = _positional(args)
        if path is not None:
            self.system = index.system(path)
            fields = [_field_option(field) for field in self.system.fields]
            taken = {name for p in self.params for name in p.opts}
            self.params[1:1] = [o for o in fields if not taken & set(o.opts)]
        return super().parse_args(ctx, args)

    def help_lines(self, ctx: click.Context) -> list[str]:
        if self.system is None:
            return [*usage(self, ctx), *self.option_lines(), *examples(ctx)]
        variant = _first_variant(self.system)
        chosen = next((v.changes for v in self.system.variants if v.name == variant), {})
        rows = []
        for field in self.system.fields_in(language()):
            default = chosen.get(field.name, field.default)
            words = f"{field.help} [{field.annotation}; {say('word.default')} {default}]"
            rows.append((f"--{field.name.replace('_', '-')}", words))
        title = styled(say("heading.fields", path=self.system.path, variant=variant), "bold")
        variants = ", ".join(v.name for v in self.system.variants)
        return [*usage(self, ctx), "", title, *definitions(rows), "", f"{say('word.variants')}: {variants}",
                *self.option_lines()]

    def option_lines(self) -> list[str]:
        """The options that every system has; the fields have a heading of their own."""
        own = [p for p in self.params if not (p.name or "").startswith(PREFIX)]
        shown = Command("run", None, [p for p in own if p.name != "help"])
        shown.params = own
        return Command.option_lines(shown)

    def invoke(self, ctx: click.Context) -> int:
        return start(ctx.params, self.system)


def command() -> click.Command:
    return RunCommand()


def start(typed: Mapping[str, Any], system: index.System | None) -> int:
    """Checks what was typed as text, then imports what computes."""
    began = time.perf_counter()
    choices = {name: value for name, value in typed.items() if not name.startswith(PREFIX)}
    fields = {name.removeprefix(PREFIX): value for name, value in typed.items()
              if name.startswith(PREFIX) and value is not None}
    if choices["resume"] is not None:
        _check_resume(choices, fields)
        transient(say("run.starting"))  # something to read while torch is imported
        from shinso.cli.training import resume

        return resume(Path(choices["resume"]), system.path if system else None, choices, began)
    if system is None:
        raise UserError("shinso run", say("error.missing", name="PATH"), "shinso list")
    for field in system.fields:
        if field.name in fields:
            hints.check(field.annotation, fields[field.name], f"--{field.name.replace('_', '-')}")
    if choices["out"] == "":
        raise UserError("--out", "this is no folder name", "give the name of a new folder")
    known = [v.name for v in system.variants]
    variant = choices["variant"] or _first_variant(system)
    if variant not in known:
        raise UserError("--variant", f"there is no variant '{variant}'", nearest(variant, known))
    transient(say("run.starting"))
    from shinso.cli.training import begin

    return begin(system.path, variant, fields, choices, began)


def _options() -> list[click.Option]:
    return [
        option("variant", "NAME", "run.variant"),
        option("out", "DIR", "run.out"),
        option("resume", "RUN", "run.resume"),
        number("checkpoint-every", "run.every", 1),
        number("keep", "run.keep", 1, 3),
        option("device", "NAME", "run.device", "auto"),
        option("precision", "auto|fp32|bf16", "run.precision", "auto", ("auto", "fp32", "bf16")),
        option("compile", "auto|on|off", "run.compile", "auto", ("auto", "on", "off")),
        number("threads", "run.threads", 1),
        flag("json", "option.json"),
    ]


def _field_option(field: index.Field) -> click.Option:
    dashed = f"--{field.name.replace('_', '-')}"
    names = dict.fromkeys((dashed, f"--{field.name}"))
    names = [*names, PREFIX + field.name]
    if field.annotation == "bool":  # alone it switches on
        return click.Option(names, metavar="VALUE", help=field.help, is_flag=False, flag_value="true")
    return click.Option(names, metavar="VALUE", help=field.help)


def _positional(args: list[str]) -> str | None:
    """The first argument that is neither an option nor the value of one."""
    after_option = False
    for arg in args:
        if after_option:
            after_option = False
        elif arg.startswith("-"):
            after_option = arg.startswith("--") and "=" not in arg and arg not in FLAGS
        else:
            return arg
    return None


def _first_variant(system: index.System) -> str:
    known = [v.name for v in system.variants]
    return "default" if "default" in known or not known else known[0]


def _check_resume(choices: Mapping[str, Any], fields: Mapping[str, str]) -> None:
    """A resumed run keeps its setup and its place: bit-identical is only what is computed the same way."""
    defaults = {"device": "auto", "precision": "auto", "compile": "auto"}
    extra = [f"--{name}" for name in fields]
    extra += [f"--{name}" for name, value in choices.items()
              if name not in WITH_RESUME and value is not None and value != defaults.get(name)]
    if extra:
        raise UserError("--resume", f"a run continues as it was started, {extra[0].replace('_', '-')} cannot change",
                        "leave it out, or start a new run")
