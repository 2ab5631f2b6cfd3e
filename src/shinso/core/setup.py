"""Setups as plain values: from JSON or the command line into a frozen dataclass, and back exactly."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from shinso.core.errors import UserError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """A half sentence that helps: the closest known name, or all of them when nothing is close."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


def to_json(setup: Any) -> dict[str, Any]:
    """The fields of a Setup as JSON values (tuples become lists)."""
    return {f.name: _listed(getattr(setup, f.name)) for f in dataclasses.fields(setup)}


def from_json(cls: type[T], values: Mapping[str, Any], where: object) -> T:
    """A Setup from JSON values; unknown names and wrong types are refused with the nearest name or the wanted type."""
    hints = typing.get_type_hints(cls)
    unknown = [name for name in values if name not in hints]
    if unknown:
        raise UserError(where, f"there is no field '{unknown[0]}'", nearest(unknown[0], hints))
    return cls(**{name: coerce(value, hints[name], f"{where}: {name}") for name, value in values.items()})


def replace_fields(setup: T, texts: Mapping[str, str], where: object) -> T:
    """`setup` with some fields replaced by what was typed on the command line."""
    cls = type(setup)
    hints = typing.get_type_hints(cls)
    for name in texts:
        if name not in hints:
            raise UserError(where, f"there is no field '{name}'", nearest(name, hints))
    parsed = {name: parse(text, hints[name], f"--{name.replace('_', '-')}") for name, text in texts.items()}
    return sensible(dataclasses.replace(setup, **parsed))  # pyright: ignore[reportArgumentType]


def parse(text: str, hint: Any, where: str) -> Any:
    """A typed value from its text: 0.1, 100, true, adam, 16,32 for tuples, none for an optional field."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if text.lower() == "none":
            return coerce(None, hint, where)
        (hint,) = (a for a in args if a is not types.NoneType)
        return parse(text, hint, where)
    if origin is typing.Literal:
        return coerce(next((choice for choice in args if str(choice) == text), text), hint, where)
    if origin is tuple:
        return tuple(parse(part.strip(), args[0], where) for part in text.split(",") if part.strip())
    if hint is bool:
        if text.lower() in ("true", "yes", "on", "1"):
            return True
        if text.lower() in ("false", "no", "off", "0"):
            return False
        raise UserError(where, f"'{text}' is neither true nor false", "write true or false")
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            kind = "a whole number" if hint is int else "a number"
            raise UserError(where, f"'{text}' is not {kind}", f"give {kind}") from None
    return coerce(text, hint, where)


def coerce(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint` wants it, or a UserError; an int is accepted where a float is wanted."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value in args:
            return value
        raise UserError(where, f"'{value}' is not a choice", nearest(str(value), map(str, args)))
    if origin in (types.UnionType, typing.Union):
        if value is None and types.NoneType in args:
            return None
        (hint,) = (a for a in args if a is not types.NoneType)
        return coerce(value, hint, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(coerce(v, args[0], where) for v in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    wanted = getattr(hint, "__name__", str(hint))
    raise UserError(where, f"{value!r} is not of type {wanted}", f"give a value of type {wanted}")


def in_range(setup: object, positive: Iterable[str], shares: Iterable[str] = ()) -> None:
    """Raises UserError unless the fields `positive` are above 0 (or none) and the fields `shares` from 0 to 1."""
    for name in positive:
        value = getattr(setup, name)
        if value is not None and not 0 < value < float("inf"):
            raise UserError(name, f"{value} is not a finite number above 0", "give such a number")
    for name in shares:
        if not 0 <= getattr(setup, name) <= 1:
            raise UserError(name, f"{getattr(setup, name)} is not between 0 and 1", "give a number from 0 to 1")


def sensible(setup: T) -> T:
    """`setup`, unless it has what no field means: nan, infinities, over 63 bits, negative numbers.

    A Setup whose fields may be negative (coordinates) names them: `SIGNED = ("start",)` in its body.
    """
    signed = getattr(type(setup), "SIGNED", ())
    for name, value in vars(setup).items():
        least, kind = (-(2**63), "") if name in signed else (0, " that is not negative")
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, (int, float)) and not least <= number < 2**63:  # false for nan, too
                raise UserError(name, f"{number} is not in range", f"give a finite number{kind}")
    return setup


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value
