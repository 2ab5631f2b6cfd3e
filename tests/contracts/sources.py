"""The package as text: every source file, its path inside the package, and its syntax tree."""

import ast
from functools import cache
from pathlib import Path

import shinso.core

SRC = Path(shinso.core.__path__[0]).parent
FILES = {str(file.relative_to(SRC)): file for file in sorted(SRC.rglob("*.py"))}


@cache
def text(name: str) -> str:
    """The source of a file given by its path inside the package."""
    return FILES[name].read_text(encoding="utf-8")


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(text(name), name)


def package(name: str) -> str:
    """`core` for core/card.py; empty for files of the root."""
    return name.split("/")[0] if "/" in name else ""
