"""The letters of a formula, token by token: what is wrong with them is said here, in one sentence with its place.

Python's grammar would refuse the same texts in words of its own, or read some of them as something else (x^2, 2(x+1)).
"""

import math
import re
import unicodedata
from collections.abc import Iterator

from shinso.core.errors import UserError
from shinso.core.setup import nearest

FUNCTIONS: dict[str, tuple[int, int]] = {
    **{name: (1, 1) for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "abs", "sigmoid",
                                 "relu", "softplus")},
    "max": (2, 8), "min": (2, 8),
}  # fmt: skip
"""what may be called, with the least and the largest number of arguments"""
CONSTANTS = {"pi": math.pi, "e": math.e}
SAME = {"ln": "log", "π": "pi"}
"""other spellings"""
DEEPEST = 60
_TYPED_AS = str.maketrans("×÷−·∗、", "*/-**,")
_TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|"
                    r"(?P<mark>\*\*|[-+*/(),]))")  # fmt: skip
_PYTHON_WORDS = re.compile(r"and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|"
                           r"global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield|"
                           r"None|True|False")  # fmt: skip
_RAISED = "²³√"
_INSTEAD = {"^": "write ** for a power", "=": "write only the right-hand side", "²": "write **2", "³": "write **3",
            "√": "write sqrt(...)", "[": "write round brackets", "]": "write round brackets", "|": "write abs(...)",
            "{": "write round brackets", "}": "write round brackets", "!": "a product has to be written out",
            ".": "a name has no parts here; numbers are written like 0.5"}  # fmt: skip
_AN_OPERAND = "write a number, a name or a bracket there"


def in_plain_letters(text: str, where: str) -> str:
    """Full-width letters and printed signs as those of a keyboard; a raised 2 is refused, not read as a 2."""
    for place, letter in enumerate(text, start=1):
        if letter in _RAISED:
            raise UserError(f"{where}, character {place}", f"'{letter}' is not read", _INSTEAD[letter])
    written = unicodedata.normalize("NFKC", text.translate(_TYPED_AS)).strip()
    if not written:
        raise UserError(where, "it is empty", "write a formula like exp(x*w)")
    return written


def look_over(text: str, where: str) -> None:
    """Raises UserError at the first token that cannot stand where it stands."""
    opened, before, kind = [], "", "start"
    for place, token, this in _tokens(text, where):
        here = f"{where}, character {place}"
        beside = kind in ("number", "name", ")") and this in ("number", "name", "(")
        if beside and not (this == "(" and kind == "name"):
            raise UserError(here, f"there is nothing between '{before}' and '{token}'", "write * for a product")
        if this == "name":
            _name_is_good(token, text[place - 1 + len(token) :].lstrip(), here)
        if token in ("*", "/", "**", ")", ",") and kind in ("start", "mark", "("):
            raise UserError(here, f"something is missing before '{token}'", _AN_OPERAND)
        _count_brackets(opened, place, token, here)
        before, kind = token, this
    if opened:
        raise UserError(f"{where}, character {opened[-1]}", "this bracket is never closed", "write ) where it ends")
    if kind == "mark":
        raise UserError(where, f"something is missing after '{before}'", _AN_OPERAND)


def _tokens(text: str, where: str) -> Iterator[tuple[int, str, str]]:
    """(place from 1, token, kind): number, name, bracket as it is, mark."""
    end = 0
    while text[end:].strip():
        found = _TOKEN.match(text, end)
        if found is None:
            end += len(text[end:]) - len(text[end:].lstrip())
            raise UserError(f"{where}, character {end + 1}", f"'{text[end]}' is not read",
                            _INSTEAD.get(text[end], "use numbers, names, + - * / ** and round brackets"))
        token, end = found[0].strip(), found.end()
        if _PYTHON_WORDS.fullmatch(token):
            raise UserError(f"{where}, character {end - len(token) + 1}", f"'{token}' is a word of Python",
                            "choose another name")
        kind = "number" if found["number"] else "name" if found["name"] else token if token in "()" else "mark"
        yield end - len(token) + 1, token, kind


def _count_brackets(opened: list[int], place: int, token: str, here: str) -> None:
    if token == "(":
        opened.append(place)
        if len(opened) > DEEPEST:
            raise UserError(here, "it is nested too deeply", f"use at most {DEEPEST} levels")
    elif token == ")":
        if not opened:
            raise UserError(here, "this bracket closes nothing", "remove it or open it before")
        opened.pop()


def _name_is_good(name: str, following: str, here: str) -> None:
    plain, called = SAME.get(name, name), following.startswith("(")
    if called and plain not in FUNCTIONS:
        known = plain in CONSTANTS or len(plain) == 1
        raise UserError(here, f"there is no function '{name}'",
                        "write * for a product" if known else nearest(name, FUNCTIONS))
    if not called and plain in FUNCTIONS:
        raise UserError(here, f"{name} needs brackets", f"write {name}(x)")
