"""The system calls that change a disk, wrapped: counted, recorded, and failing or dying where a test wants it."""

import errno
import os
from collections.abc import Callable
from typing import Any

CALLS = ("open", "write", "fsync", "close", "rename", "replace", "unlink", "rmdir", "mkdir")


class FaultyDisk:
    """Patches `os`; call number `at` (from 1) raises, and with `dead` every later one too, as after a kill."""

    def __init__(self, monkeypatch: Any, at: int = 0, number: int = errno.ENOSPC, *, dead: bool = False,
                 then: Callable[[], None] | None = None):  # fmt: skip
        self.at, self.number, self.dead, self.then = at, number, dead, then
        self.trace: list[tuple[str, str]] = []
        self.paths: dict[int, str] = {}
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR) and "dir_fd" in kwargs:
                return real(*args, **kwargs)  # rmtree walking
            if name == "close" and args[0] not in self.paths:
                return real(*args, **kwargs)
            on_file = name in ("write", "fsync", "close")
            place = self.paths.get(args[0], "") if on_file else " ".join(map(str, args[:2]))
            if name == "close":
                del self.paths[args[0]]  # the number will be given to another file
            self.trace.append((name, place))
            count = len(self.trace)
            if count == self.at or (self.dead and self.at and count > self.at):
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                if name == "close":
                    real(*args)
                if self.then is not None:
                    self.then()
                raise OSError(self.number, os.strerror(self.number))
            result = real(*args, **kwargs)
            if name == "open":
                self.paths[result] = str(args[0])
            return result

        return call
