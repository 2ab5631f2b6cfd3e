"""`shinso predict RUN FILE...`: answers for a user's files."""

import json as json_module
import sys
from pathlib import Path

import click

from shinso.cli.command import Command, flag, number
from shinso.cli.layout import pad, printable, styled, width
from shinso.cli.phrases import say
from shinso.core.errors import UserError


def command() -> click.Command:
    run = click.Argument(["run"], metavar="RUN")
    files = click.Argument(["files"], metavar="FILE...", nargs=-1, required=True)
    return Command("predict", predict, [run, files, number("top", "predict.top", 1, 1), flag("json", "option.json")])


def predict(*, run: str, files: tuple[str, ...], top: int, json: bool) -> int:
    """Answers file by file, so that a bad one does not silence the others; 2 if there was a bad one."""
    from shinso.cli.rebuild import rebuild
    from shinso.engine.program import Predicts, Ranks

    program, _, values = rebuild(Path(run))
    if not isinstance(program, Predicts):
        raise UserError(values["system"], "this system does not answer for files", "use the run of a classifier")
    ranks = program if top > 1 and isinstance(program, Ranks) else None
    if top > 1 and ranks is None:
        raise UserError(values["system"], "this system has one answer for a file", "leave --top out")
    answers, bad = [], 0
    for file in files:
        try:
            found = program.predict([Path(file)]) if ranks is None else ranks.rank([Path(file)], top)[0]
            ranked = [{"label": label, "probability": probability} for label, probability in found]
            answers.append({"file": file, **ranked[0], **({"top": ranked} if top > 1 else {})})
        except UserError as error:
            bad += 1
            print(f"shinso: {error.line()}", file=sys.stderr)
    if json:
        print(json_module.dumps(answers, ensure_ascii=False, indent=1))
    elif answers:
        print("\n".join(_lines(answers)))
    return 2 if bad else 0


def _lines(answers: list[dict]) -> list[str]:
    """A table on a terminal, a line for each answer; for a pipe tab-separated values, a line for each file."""
    rows = [(printable(a["file"]), [(printable(one["label"]), one["probability"]) for one in a.get("top", [a])])
            for a in answers]
    if not sys.stdout.isatty():
        return ["\t".join([file, *(f"{label}\t{share:.6f}" for label, share in ranking)]) for file, ranking in rows]
    cells = [("" if i else file, label, f"{100 * share:.1f} %", "█" * round(20 * share))
             for file, ranking in rows for i, (label, share) in enumerate(ranking)]
    head = (say("word.file"), say("word.label"), say("word.probability"))
    columns = [max(width(row[i]) for row in [head, *cells]) for i in range(3)]
    lines = [styled("  ".join(pad(cell, n) for cell, n in zip(head, columns, strict=True)), "bold")]
    for file, label, share, bar in cells:
        line = f"{pad(file, columns[0])}  {styled(pad(label, columns[1]), 'bold')}  {share.rjust(columns[2])}"
        lines.append(f"{line}  {styled(bar, 'cyan')}")
    return lines
