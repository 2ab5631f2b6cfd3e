"""Refuses numbers that make no sense, by the field's name."""

from collections.abc import Iterable

from shinso.core.errors import UserError


def in_range(setup: object, positive: Iterable[str], shares: Iterable[str]) -> None:
    """Raises UserError unless the fields `positive` are above 0 and the fields `shares` lie from 0 to 1."""
    for name in positive:
        if not getattr(setup, name) > 0:
            raise UserError(name, f"{getattr(setup, name)} is not above 0", "give a larger number")
    for name in shares:
        if not 0 <= getattr(setup, name) <= 1:
            raise UserError(name, f"{getattr(setup, name)} is not between 0 and 1", "give a number from 0 to 1")
