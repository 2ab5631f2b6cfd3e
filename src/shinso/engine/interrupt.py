"""Ctrl-C and SIGTERM as a wish to end: the step is finished, the run is saved, the exit code says which.

A second Ctrl-C ends the process at once, even inside a long computation: the system's own handler writes the signal's
number to a pipe that a thread reads, without waiting for Python's turn.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self, final

from shinso.engine.loop import Row
from shinso.engine.program import Program


@final
class Interruptible:
    """A context in which signals are wishes; as a hook it ends the run after the step in which one came.

    Outside the main thread it listens to nothing, because Python delivers signals only there.
    """

    def __init__(self):
        self.signal: int | None = None
        """the first signal that came"""
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1
        self._pipe: tuple[socket.socket, socket.socket] | None = None

    @property
    def exit_code(self) -> int:
        """0, or 130 after Ctrl-C, 143 after SIGTERM."""
        return 0 if self.signal is None else 128 + self.signal

    def __call__(self, row: Row, program: Program) -> bool:
        return self.signal is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            reader, writer = socket.socketpair()
            writer.setblocking(False)
            self._pipe = reader, writer
            self._wakeup_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=_leave_on_the_second, args=(reader,), daemon=True).start()
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
            _listening.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup_before)
            self._pipe[1].close()  # the thread reads the end and closes its side
            self._pipe = None
            _listening.discard(self)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number


_listening: set[Interruptible] = set()


def _leave_it_to_the_parent() -> None:
    """A forked worker gets the terminal's Ctrl-C too: it goes on serving, and its own writes no second signal."""
    if _listening:
        _listening.clear()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_it_to_the_parent)


def _leave_on_the_second(reader: socket.socket) -> None:
    """Reads signal numbers; Ctrl-C after any signal ends the process, with the cursor shown and no trace."""
    came = 0
    with reader:
        while numbers := reader.recv(64):
            for number in numbers:
                if number not in (signal.SIGINT, signal.SIGTERM):
                    continue
                came += 1
                if number == signal.SIGINT and came > 1:
                    _leave()


def _leave() -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # a progress bar may have hidden the cursor
    os._exit(128 + signal.SIGINT)
