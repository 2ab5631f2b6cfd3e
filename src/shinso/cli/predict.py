"""`shinso predict RUN FILE...`: answers for a user's files."""

import json as json_module
import sys
from pathlib import Path

import click

from shinso.cli.command import Command, flag
from shinso.cli.layout import pad, printable, styled, width
from shinso.cli.phrases import say
from shinso.core.errors import UserError


def command() -> click.Command:
    run = click.Argument(["run"], metavar="RUN")
    files = click.Argument(["files"], metavar="FILE...", nargs=-1, required=True)
    return Command("predict", predict, [run, files, flag("json", "option.json")])


def predict(*, run: str, files: tuple[str, ...], json: bool) -> int:
    """Answers file by file, so that a bad one does not silence the others; 2 if there was a bad one."""
    from shinso.cli.rebuild import rebuild
    from shinso.engine.program import Predicts

    program, _, values = rebuild(Path(run))
    if not isinstance(program, Predicts):
        raise UserError(values["system"], "this system does not answer for files", "use the run of a classifier")
    answers, bad = [], 0
    for file in files:
        try:
            label, probability = program.predict([Path(file)])[0]
            answers.append({"file": file, "label": label, "probability": probability})
        except UserError as error:
            bad += 1
            print(f"shinso: {error.line()}", file=sys.stderr)
    if json:
        print(json_module.dumps(answers, ensure_ascii=False, indent=1))
    elif answers:
        print("\n".join(_lines(answers)))
    return 2 if bad else 0


def _lines(answers: list[dict]) -> list[str]:
    """A table on a terminal; tab-separated values for a pipe."""
    rows = [(printable(a["file"]), printable(a["label"]), f"{100 * a['probability']:.1f} %") for a in answers]
    if not sys.stdout.isatty():
        return [f"{file}\t{label}\t{a['probability']:.6f}" for (file, label, _), a in zip(rows, answers, strict=True)]
    head = (say("word.file"), say("word.label"), say("word.probability"))
    columns = [max(width(row[i]) for row in [head, *rows]) for i in range(3)]
    lines = [styled("  ".join(pad(cell, n) for cell, n in zip(head, columns, strict=True)), "bold")]
    for (file, label, share), answer in zip(rows, answers, strict=True):
        bar = "█" * round(20 * answer["probability"])
        line = f"{pad(file, columns[0])}  {styled(pad(label, columns[1]), 'bold')}  {share.rjust(columns[2])}"
        lines.append(f"{line}  {styled(bar, 'cyan')}")
    return lines
