"""`shinso check [PATH]`: runs what systems claim about themselves."""

import math
import sys
from types import ModuleType
from typing import Any

import click

from shinso.catalogue import index
from shinso.cli.command import Command, flag
from shinso.cli.layout import styled, terminal_width, wrap
from shinso.cli.list import print_json
from shinso.cli.phrases import language, say
from shinso.core.errors import UserError

FAILED, MISSING = 1, 2


def command() -> click.Command:
    path = click.Argument(["path"], metavar="PATH", required=False)
    return Command("check", check, [path, flag("json", "option.json")])


def check(*, path: str | None, json: bool) -> int:
    """Every fact of one system or part, or of all; 1 if one does not hold, 2 if one could not be loaded."""
    chosen = [index.card(path)] if path else list(index.cards().values())
    results: list[dict[str, Any]] = []
    code = 0
    for system in chosen:
        try:
            module = index.load(system.path)
        except UserError as error:
            if path:
                raise
            print(f"shinso: {error.line()}", file=sys.stderr)
            code = MISSING
            continue
        if not json:
            print(styled(system.path, "bold"))
        for fact, said in zip(system.facts, system.facts_in(language()), strict=True):
            _waiting(fact.name, json=json)
            results.append(measure(system.path, module, fact))
            _waiting("", json=json)
            if not json:
                print("\n".join(_lines(results[-1], said)), flush=True)
    failed = sum(not result["holds"] for result in results)
    if json:
        print_json(results)
    else:
        words = say("check.some_fail" if failed else "check.all_hold", failed=failed, count=len(results))
        print("\n" + styled(words, "red" if failed else "green"))
    return FAILED if failed else code


def measure(path: str, module: ModuleType, fact: index.Fact) -> dict[str, Any]:
    """One fact as the JSON output has it; a fact that raises does not hold, and says what it raised."""
    result = {"system": path, "fact": fact.name, "claim": fact.claim, "source": fact.source}
    try:
        found = getattr(module, fact.name)()
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return {**result, "measured": None, "low": None, "high": None, "holds": False, "error": text}
    bounds = {"measured": _finite(found.measured), "low": _finite(found.low), "high": _finite(found.high)}
    return {**result, **bounds, "holds": bool(found.holds)}


def bound(low: float | None, high: float | None) -> str:
    """The bounds as people write them: = 60, <= 0.1, 0.9 .. 1.1."""
    if low is not None and low == high:
        return f"= {_short(low)}"
    if low is None:
        return f"<= {_short(high)}"
    return f">= {_short(low)}" if high is None else f"{_short(low)} .. {_short(high)}"


def _lines(result: dict[str, Any], said: index.Fact) -> list[str]:
    mark = styled("✓", "green") if result["holds"] else styled("✗", "red")
    first, *rest = wrap(said.claim, terminal_width() - 4)
    if "error" in result:
        measured = say("check.raised", error=result["error"])
    else:
        measured = f"{_short(result['measured'])}  ({bound(result['low'], result['high'])})"
    detail = wrap(f"{measured}  [{said.source}]", terminal_width() - 4)
    return [f"  {mark} {first}", *(f"    {line}" for line in rest), *(styled(f"    {line}", "dim") for line in detail)]


def _waiting(name: str, *, json: bool) -> None:
    """On a terminal, the fact that is being run; it vanishes when the result is there."""
    if sys.stderr.isatty() and not json:
        sys.stdout.flush()
        print(f"\r\x1b[2K{'  · ' + name if name else ''}", end="", file=sys.stderr, flush=True)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _short(value: float | None) -> str:
    if value is None:
        return "nan"
    return f"{int(value):,}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
