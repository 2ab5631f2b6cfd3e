"""TensorBoard event files, written while a run goes on, in stretches, so that a step pays nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

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
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self.writer is None:
            self._open()
        for row in self.rows:
            values = [Summary.Value(tag="/".join(split_name(key)), simple_value=float(value))
                      for key, value in row.items() if key != "step"]
            self.writer.add_event(_timed(Event(step=row["step"], summary=Summary(value=values))))
        self.rows.clear()
        self.writer.flush()

    def close(self) -> None:
        """Writes the rest and ends the writer's thread."""
        self.flush()
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _open(self) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.writer = EventFileWriter(str(self.folder))
        if self.start:
            again = SessionLog(status=SessionLog.START)
            self.writer.add_event(_timed(Event(step=self.start + 1, session_log=again)))


def _timed(event: Any) -> Any:
    import time

    event.wall_time = time.time()
    return event
