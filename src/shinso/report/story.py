"""What a report tells, gathered before a word of it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Choice:
    """One field of the setup: its value, the default's, and what it means."""

    name: str
    value: Any
    default: Any
    help: str
    help_ja: str = ""


@dataclass(frozen=True)
class Claim:
    """One fact of the system; measured and bounds are empty where it was not run."""

    claim: str
    source: str
    measured: str = ""
    bound: str = ""
    holds: bool | None = None
    claim_ja: str = ""
    source_ja: str = ""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One card in a book of cards."""

    path: str
    card: Mapping[str, Any]
    claims: Sequence[Claim]
    commands: Sequence[str]
    """what a reader would type next"""


@dataclass(frozen=True, kw_only=True)
class Story:
    """A run, told."""

    language: str
    """which of `en` and `ja` the page opens in"""
    system: str
    """the system's path"""
    variant: str
    card: Mapping[str, Any]
    run: str
    """the run folder's name"""
    steps: int
    total: int
    metrics: Mapping[str, float]
    rows: Sequence[Mapping[str, Any]]
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """what the system calls `picture.NAME` and `metric.NAME`, in English and Japanese"""
    choices: Sequence[Choice]
    timing: Mapping[str, float]
    """seconds by `start`, `steps`, `evaluate`, `save`, `total`; `rate` in steps per second"""
    where: Mapping[str, str]
    command: str
    python: str
    claims: Sequence[Claim] = ()
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    """uint8 (height, width, 3) by name"""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """what the program left in `files/`, by file name; a picture among them is shown"""
