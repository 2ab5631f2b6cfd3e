"""The folder of one run: what it was (setup.json, data.json), what came out (records.jsonl, summary.json), its state.

    lock  setup.json  data.json  records.jsonl  summary.json  checkpoints/step-N/

Reading needs no lock. Writing does: `create` and `resume` hold it until `close()` or the end of a `with` block.
"""

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.setup import to_json
from shinso.engine.disk import atomic_write_bytes, explained, make_folder, write_all
from shinso.engine.lock import Lock

_UNDONE = re.compile(r".+\.tmp-\d+")


@final
class RunFolder:
    """Reads a run; writes it after `create` or `resume`."""

    def __init__(self, path: Path):
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.records_path = path / "records.jsonl"
        self._lock: Lock | None = None
        self._records = -1

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new run in `path`, locked. Raises UserError where a run is already."""
        with explained(path, 0):
            make_folder(path)
        folder = cls(path)._locked()
        if (path / "setup.json").exists():
            folder.close()
            raise UserError(path, "there is a run here already", f"continue it with --resume {path} or choose another")
        return folder

    @classmethod
    def resume(cls, path: Path) -> Self:
        """The run in `path`, locked. Raises UserError where there is none, or somebody else writes it."""
        folder = cls(path)
        folder.read_setup()
        return folder._locked()

    def close(self) -> None:
        """Ends writing; a second call does nothing."""
        if self._records >= 0:
            os.close(self._records)
            self._records = -1
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def write_setup(self, *, system: str, variant: str, setup: Any, place: Place, version: str) -> None:
        """What repeats the run: `setup` is the system's own dataclass."""
        values = {"system": system, "variant": variant, "setup": to_json(setup),
                  "place": dataclasses.asdict(place), "version": version}  # fmt: skip
        self.write("setup.json", values)

    def read_setup(self) -> dict[str, Any]:
        """{"system", "variant", "setup", "place", "version"}; raises UserError where this is no run."""
        values = self.read("setup.json")
        missing = [name for name in ("system", "variant", "setup", "place") if name not in values]
        if missing:
            raise UserError(self.path / "setup.json", f"has no '{missing[0]}'", "give the folder of a run")
        return values

    def write(self, name: str, values: Mapping[str, Any]) -> None:
        """A JSON file of the run (`data.json`, `summary.json`), whole or as before."""
        atomic_write_bytes(self.path / name, _utf8(values))

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the run; raises UserError where it is missing or no JSON object."""
        path = self.path / name
        try:
            values = json.loads(path.read_bytes())
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise UserError(path, f"cannot be read ({reason})", "give the folder of a run") from None
        except (ValueError, RecursionError) as error:
            raise UserError(path, f"is not JSON ({error})", "restore the file or start a new run") from None
        if not isinstance(values, dict):
            raise UserError(path, "is not a JSON object", "restore the file or start a new run")
        return values

    def append(self, row: Mapping[str, Any]) -> None:
        """One more line in records.jsonl, handed to the system at once, so that a kill loses nothing."""
        line = _line(row)
        with explained(self.records_path, len(line)):
            if self._records < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
                self._records = os.open(self.records_path, flags, 0o666)
            write_all(self._records, line)

    def records(self) -> Iterator[dict[str, Any]]:
        """The rows in order; lines that a kill left half-written are passed over."""
        if not self.records_path.exists():
            return
        with open(self.records_path, "rb") as file:
            for line in file:
                if (row := _row(line)) is not None:
                    yield row

    def truncate(self, step: int) -> None:
        """Keeps the rows up to `step`, so that a resumed run appends where its checkpoint stands."""
        if self._records >= 0:
            os.close(self._records)
            self._records = -1
        atomic_write_bytes(self.records_path, b"".join(_line(row) for row in self.records() if row["step"] <= step))

    def flush(self) -> None:
        """Forces the records to the disk: before a checkpoint that builds on them."""
        if self._records >= 0:
            with explained(self.records_path, 0):
                os.fsync(self._records)

    def _locked(self) -> Self:
        self._lock = Lock(self.path / "lock")
        for name in os.listdir(self.path):  # of a writer that died; a living one would hold the lock
            if _UNDONE.fullmatch(name):
                (self.path / name).unlink(missing_ok=True)
        return self


def to_line(row: Mapping[str, Any]) -> str:
    """A row of named numbers as one line of JSON; nan and infinities, which JSON lacks, as strings."""
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False)
    except ValueError:
        told = {k: str(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        return json.dumps(told, ensure_ascii=False)


def _line(row: Mapping[str, Any]) -> bytes:
    return to_line(row).encode("utf-8") + b"\n"


def _utf8(values: Mapping[str, Any]) -> bytes:
    """Readable JSON; escaped where a file name is not valid Unicode."""
    try:
        return json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        return json.dumps(values, indent=1).encode("ascii") + b"\n"


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("step"), int):
        return None
    return {key: _SPOKEN.get(value, value) if isinstance(value, str) else value for key, value in row.items()}


_SPOKEN = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
