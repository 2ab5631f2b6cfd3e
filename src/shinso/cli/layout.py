"""Text in columns for a terminal, where a Japanese character is two columns wide; colour only on a terminal."""

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Literal

Style = Literal["bold", "dim", "green", "red", "cyan"]
_CODES = {"bold": "1", "dim": "2", "green": "32", "red": "31", "cyan": "36"}


def width(text: str) -> int:
    """Columns that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, columns: int) -> str:
    """`text` followed by spaces up to `columns`."""
    return text + " " * max(0, columns - width(text))


def printable(text: str) -> str:
    """`text` with control characters shown escaped, so that a file name cannot steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def terminal_width() -> int:
    """Columns to fill: those of the terminal, at most 110; 100 where there is none."""
    return max(40, min(110, shutil.get_terminal_size((100, 24)).columns))


def styled(text: str, style: Style) -> str:
    """`text` in a style, when standard output is a terminal and NO_COLOR is not set."""
    if "NO_COLOR" in os.environ or not sys.stdout.isatty():
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def transient(text: str) -> None:
    """A line that the next one replaces, on a terminal; nothing elsewhere. Empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most `columns`: broken at spaces, and between any two wide characters."""
    lines, line = [], ""
    for word in _words(text):
        if line and width(line) + width(word.rstrip()) > columns:
            lines.append(line.rstrip())
            line = ""
        line += word if line else word.lstrip()
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def definitions(rows: Sequence[tuple[str, str]], indent: int = 2, first: int = 0) -> list[str]:
    """Terms on the left, wrapped texts on the right; a term longer than the column has a line of its own."""
    if not rows:
        return []
    column = first or min(30, max(width(term) for term, _ in rows)) + 2
    lines = []
    for term, text in rows:
        body = wrap(text, terminal_width() - indent - column)
        head = " " * indent + pad(term, column)
        if width(term) > column - 2 and text:
            lines.append(" " * indent + term)
            head = " " * (indent + column)
        lines.append((head + body[0]).rstrip())
        lines += [" " * (indent + column) + line for line in body[1:] if line]
    return lines


def _words(text: str) -> list[str]:
    """Pieces that may not be broken: words with the space behind them; each wide character is one."""
    words, word = [], ""
    for c in text:
        if width(c) == 2 and c not in "、。」）・ー":
            words += [word] if word else []
            word = c
        else:
            word += c
            if c == " ":
                words.append(word)
                word = ""
    return [*words, word] if word else words
