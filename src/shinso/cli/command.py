"""How every command looks and fails: options with bilingual help, one-line errors."""

import click

from shinso.cli.layout import definitions, styled, terminal_width, wrap
from shinso.cli.phrases import PHRASES, say
from shinso.core.errors import UserError
from shinso.core.setup import nearest


class Command(click.Command):
    """A command whose help is in the user's language; its options are listed with their defaults."""

    def __init__(self, verb: str, callback: object, params: list[click.Parameter]):
        super().__init__(verb, callback=callback, params=params, add_help_option=False)  # pyright: ignore
        self.params.append(help_option())

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("\n".join(self.help_lines(ctx)) + "\n")

    def help_lines(self, ctx: click.Context) -> list[str]:
        """Usage, what it does, arguments, options, examples."""
        return [*usage(self, ctx), *self.option_lines(), *examples(ctx)]

    def option_lines(self) -> list[str]:
        """The heading and one entry for each option."""
        shown = [p for p in self.params if isinstance(p, click.Option) and not p.hidden]
        return ["", styled(say("heading.options"), "bold"), *definitions([_row(p) for p in shown])]


def usage(command: click.Command, ctx: click.Context) -> list[str]:
    """The first lines of a help text: how it is typed, and what it does."""
    verb = key(ctx)
    arguments = PHRASES[f"{verb}.arguments"][0]
    return [f"{styled(say('heading.usage'), 'bold')} {ctx.command_path} {arguments}".rstrip(), "",
            *wrap(say(f"{verb}.help"), min(90, terminal_width()))]


def examples(ctx: click.Context) -> list[str]:
    """What one would type, if the phrases have examples for this command."""
    lines = PHRASES.get(f"{key(ctx)}.examples", ("", ""))[0]
    return ["", styled(say("heading.examples"), "bold"), *(f"  {line}" for line in lines.splitlines())] if lines else []


def key(ctx: click.Context) -> str:
    """Which phrases belong to a command: `run`, `data.check`; `main` for the program itself."""
    return ".".join(ctx.command_path.split()[1:]) or "main"


def option(name: str, metavar: str, phrase: str, default: str | None = None,
           choices: tuple[str, ...] = (), *, required: bool = False) -> click.Option:
    """An option with a text value; `choices` are checked by click."""
    kind = click.Choice(choices) if choices else click.STRING
    if required:
        return click.Option([f"--{name}"], type=kind, required=True, metavar=metavar, help=say(phrase))
    return click.Option([f"--{name}"], type=kind, default=default, metavar=metavar, help=say(phrase))


def number(name: str, phrase: str, least: int, default: int | None = None) -> click.Option:
    """An option with a whole number of at least `least`."""
    return click.Option([f"--{name}"], type=click.IntRange(min=least), default=default, metavar="N", help=say(phrase))


def flag(name: str, phrase: str) -> click.Option:
    """An option without a value."""
    return click.Option([f"--{name}", name.replace("-", "_")], is_flag=True, help=say(phrase))


def help_option() -> click.Option:
    """`--help`, also as `-h`."""

    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()

    return click.Option(["--help", "-h"], is_flag=True, is_eager=True, expose_value=False, callback=show,
                        help=say("option.help"))


def as_user_error(error: click.ClickException) -> UserError:
    """click's complaint as the one error that users meet."""
    ctx = getattr(error, "ctx", None)
    where = ctx.command_path if ctx else "shinso"
    cure = say("cure.help", command=where)
    if isinstance(error, click.NoSuchOption):
        known = [o for p in ctx.command.params for o in p.opts if o.startswith("--")] if ctx else []
        return UserError(where, say("error.option", name=error.option_name), nearest(error.option_name, known))
    if isinstance(error, click.MissingParameter) and error.param is not None:
        option = isinstance(error.param, click.Option)
        name = error.param.opts[0] if option else error.param.metavar or (error.param.name or "").upper()
        return UserError(where, say("error.missing", name=name), cure)
    if isinstance(error, click.BadOptionUsage):
        return UserError(where, say("error.value", name=error.option_name), cure)
    if isinstance(error, click.BadParameter) and error.param is not None:
        return _bad_value(error)
    return UserError(where, error.format_message().rstrip("."), cure)


def _bad_value(error: click.BadParameter) -> UserError:
    param = error.param
    name = param.opts[0] if param else "shinso"
    if param and isinstance(param.type, click.Choice):
        return UserError(name, say("error.choice"), say("cure.choice", choices=", ".join(map(str, param.type.choices))))
    if param and isinstance(param.type, click.IntRange):
        return UserError(name, say("error.whole"), say("cure.whole", least=param.type.min))
    return UserError(name, error.message, say("cure.help", command="shinso"))


def _row(param: click.Option) -> tuple[str, str]:
    name = ", ".join(o for o in param.opts if o.startswith("-"))
    metavar = f" {param.metavar}" if param.metavar else ""
    text = param.help or ""
    if param.default not in (None, False) and isinstance(param.default, (str, int)):
        text += f" [{say('word.default')} {param.default}]"
    return f"{name}{metavar}", text
