"""TensorBoard event files, written while a run goes on, in stretches, so that a step pays nothing."""

import time
from collections.abc import Mapping
from pathlib import Path
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
            writer.add_event(Event(wall_time=time.time(), step=row["step"], summary=make.Summary(value=values)))
        self.rows.clear()
        writer.flush()

    def close(self) -> None:
        """Writes the rest and ends the writer's thread."""
        self.flush()
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _open(self) -> Any:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        writer = EventFileWriter(str(self.folder))
        if self.start:
            Event, log = cast(Any, event_pb2).Event, cast(Any, event_pb2).SessionLog
            event = Event(wall_time=time.time(), step=self.start + 1, session_log=log(status=log.START))
            writer.add_event(event)
        return writer
