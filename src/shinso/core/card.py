"""What a system is: its card, and the claims that its own file can check."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Check:
    """One measured number beside the bounds that a paper or a theorem promises."""

    measured: float
    low: float = -inf
    high: float = inf

    @property
    def holds(self) -> bool:
        return self.low <= self.measured <= self.high


def about(measured: float, expected: float, within: float) -> Check:
    """Equal to `expected` up to `within` (same unit, absolute)."""
    return Check(measured, expected - within, expected + within)


def exactly(measured: float, expected: float) -> Check:
    """Equal without tolerance: counts and identities."""
    return Check(measured, expected, expected)


def at_most(measured: float, bound: float) -> Check:
    """Never above `bound`."""
    return Check(measured, high=bound)


def at_least(measured: float, bound: float) -> Check:
    """Never below `bound`."""
    return Check(measured, low=bound)


@dataclass(frozen=True, kw_only=True)
class Card:
    """A system or part in words, in its own file as a literal, so that it is read without being imported.

    A fact is a function of the same file without arguments that returns a Check. The first line of its docstring is
    the claim; a line `Source: ...` names who claims it.
    """

    name: str
    name_ja: str
    paper: str
    """authors, year, identifier"""
    equations: tuple[str, ...]
    """LaTeX, numbered from (1) as in the file's docstring"""
    summary: str
    """one sentence in English"""
    summary_ja: str
    topics: tuple[str, ...]
    """ids of the curriculum rows that this file makes work"""
    facts: tuple[Callable[[], Check], ...]
    notes: tuple[str, ...] = ()
    """slips in the documents that are not copied here, in English"""
    notes_ja: tuple[str, ...] = ()
    """the same slips in Japanese, in the same order"""
    twin: str = ""
    """dotted name of the torch function that computes the same from the same inputs; a contract compares the two"""
