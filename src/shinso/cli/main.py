"""The command line: `shinso VERB ...`. Each verb is a file of its own, imported when it is typed; torch is imported
only by verbs that compute."""

import os
import sys
import warnings
from importlib import import_module

import click

from shinso.cli.command import as_user_error, help_option, usage
from shinso.cli.layout import definitions, styled
from shinso.cli.phrases import say
from shinso.core.errors import Diverged, UserError
from shinso.core.place import process
from shinso.core.setup import nearest

VERBS = ("list", "show", "run", "predict", "check", "export", "data")
USER, DIVERGED, FAULT, INTERRUPTED = 2, 1, 70, 130


class Verbs(click.Group):
    """Sub-commands by name, imported one at a time."""

    def __init__(self):
        super().__init__("shinso", add_help_option=False, params=[_version_option(), help_option(), _debug_option()])

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return import_module(f"shinso.cli.{cmd_name}").command() if cmd_name in VERBS else None

    def resolve_command(self, ctx: click.Context, args: list[str]):
        if args and args[0] not in VERBS:
            raise UserError("shinso", say("error.verb", name=args[0]), nearest(args[0], VERBS))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        verbs = [(name, say(f"{name}.short")) for name in VERBS]
        options = [("--json", say("option.json")), ("--debug", say("option.debug")),
                   ("--version", say("option.version")), ("--help, -h", say("option.help"))]
        lines = [*usage(self, ctx), "", styled(say("heading.commands"), "bold"), *definitions(verbs), "",
                 styled(say("heading.options"), "bold"), *definitions(options), "",
                 styled(say("heading.start"), "bold"), f"  {say('main.start')}"]
        formatter.write("\n".join(lines) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Entry point: runs one command and exits with its code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in args
    warnings.showwarning = _one_line
    sys.exit(run([a for a in args if a != "--debug"], debug=debug))


def run(args: list[str], *, debug: bool = False) -> int:
    """The exit code of one command; every failure is one line on standard error, or a trace with `debug`."""
    try:
        verbs = Verbs()
        with verbs.make_context("shinso", args or ["--help"]) as ctx:
            result = verbs.invoke(ctx)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as done:
        sys.stdout.flush()
        return done.exit_code
    except BrokenPipeError:
        # The reader is gone; the interpreter would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return 0
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.ClickException as error:
        return _fail(as_user_error(error).line(), USER)
    except Exception as error:
        if debug:
            raise
        return _explained(error)


def _explained(error: Exception) -> int:
    if process()[0] and isinstance(error, (UserError, Diverged)) and not getattr(error, "alone", False):
        return USER if isinstance(error, UserError) else DIVERGED  # the first process meets the same and says so
    if isinstance(error, UserError):
        return _fail(error.line(), USER)
    if isinstance(error, Diverged):
        return _fail(f"{error}. {say('cure.diverged')}", DIVERGED)
    if isinstance(error, OSError) and error.filename is not None:
        line = UserError(error.filename, error.strerror or type(error).__name__, say("cure.os")).line()
        return _fail(line, USER)
    text = " ".join(str(error).split()) or say("error.no_words")
    return _fail(UserError(type(error).__name__, text, say("cure.debug")).line(), FAULT)


def _fail(line: str, code: int) -> int:
    clear = "\r\x1b[2K" if sys.stderr.isatty() else ""
    print(f"{clear}shinso: {line}", file=sys.stderr)
    return code


def _one_line(message: Warning | str, category: type[Warning], *_: object) -> None:
    """A warning as people read it; those for programmers are left out."""
    if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning)):
        print(f"shinso: {say('data.warning', text=' '.join(str(message).split()))}", file=sys.stderr)


def _version_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            from importlib.metadata import version

            click.echo(f"shinso {version('shinso')}")
            ctx.exit()

    return click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show)


def _debug_option() -> click.Option:
    return click.Option(["--debug"], is_flag=True, expose_value=False)
