"""The command line inside the test's process, looking for systems in the toy folder."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shinso.catalogue import index
from shinso.cli.main import run

TOYS = Path(__file__).parent / "toys"
AS_A_PROGRAM = """
import sys
from pathlib import Path
from shinso.catalogue import index
index.ROOT = Path(sys.argv.pop(1))
from shinso.cli.main import main
main()
"""


@dataclass
class Said:
    """What one command did."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Shell:
    """Runs commands; `said` remembers the last."""

    capsys: pytest.CaptureFixture[str]
    log: list[Said] = field(default_factory=list)

    def __call__(self, *words: object) -> Said:
        self.capsys.readouterr()
        code = run([str(word) for word in words])
        captured = self.capsys.readouterr()
        self.log.append(Said(code, captured.out, captured.err))
        return self.log[-1]


@pytest.fixture
def shell(capsys, monkeypatch, tmp_path) -> Shell:
    """English, the toy systems, and an empty current folder."""
    monkeypatch.setenv("SHINSO_LANG", "en")
    monkeypatch.setattr(index, "ROOT", TOYS)
    monkeypatch.chdir(tmp_path)
    return Shell(capsys)


@pytest.fixture
def real(shell, monkeypatch) -> Shell:
    """The same with the package's own systems."""
    monkeypatch.setattr(index, "ROOT", Path(index.__file__).parent.parent)
    return shell


@pytest.fixture
def program() -> Callable[..., list[str]]:
    """The words that start the command line as a process of its own."""
    return lambda *words: [sys.executable, "-c", AS_A_PROGRAM, str(TOYS), *map(str, words)]
