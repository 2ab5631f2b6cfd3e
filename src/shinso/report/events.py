"""TensorBoard event files, written while a run goes on, in stretches, so that a step pays nothing."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from socket import gethostname
from typing import Any, cast, final

from shinso.report.series import split_name


@final
class Events:
    """Collects rows and writes them as scalars `loss/train`, `accuracy/validation` when flushed.

    tensorboard is imported at the first flush. After a resume TensorBoard is told to forget what an earlier file says
    about the steps that are done again.
    """

    def __init__(self, folder: Path, start: int = 0):
        self.folder, self.start = folder, start
        self.rows: list[Mapping[str, Any]] = []
        self.writer: Any = None

    def add(self, row: Mapping[str, Any]) -> None:
        """Remembers a row (`step` and named numbers)."""
        self.rows.append(row)

    def flush(self) -> None:
        """Writes what was added so far to the disk."""
        if not self.rows:
            return
        from tensorboard.compat.proto import event_pb2, summary_pb2

        Event, make = cast(Any, event_pb2).Event, cast(Any, summary_pb2)
        writer = self.writer = self.writer or self._open()
        for row in self.rows:
            values = [make.Summary.Value(tag="/".join(split_name(key)), simple_value=float(value))
                      for key, value in row.items() if key != "step"]
            event = Event(wall_time=time.time(), step=row["step"], summary=make.Summary(value=values))
            writer.write(event.SerializeToString())
        self.rows.clear()
        writer.flush()

    def close(self) -> None:
        """Writes the rest and closes the file."""
        self.flush()
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _open(self) -> Any:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        # A reader takes a folder's files in the order of their names; tensorboard's own writer names them by the second
        # and then by an unpadded counter, so that the tenth of a second would stand before the ninth.
        now = time.time_ns()
        name = f"events.out.tfevents.{now // 10**9:010d}.{now % 10**9:09d}.{gethostname()}.{os.getpid()}"
        Event, log = cast(Any, event_pb2).Event, cast(Any, event_pb2).SessionLog
        writer = RecordWriter((self.folder / name).open("xb"))
        writer.write(Event(wall_time=now / 1e9, file_version="brain.Event:2").SerializeToString())
        if self.start:
            again = Event(wall_time=now / 1e9, step=self.start + 1, session_log=log(status=log.START))
            writer.write(again.SerializeToString())
        return writer
