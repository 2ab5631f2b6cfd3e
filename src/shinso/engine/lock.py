"""An exclusive lock that dies with its process, and says who holds it."""

import contextlib
import errno
import os
import socket
import weakref
from pathlib import Path
from typing import final

from shinso.core.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@final
class Lock:
    """Held from construction to `release()` or the end of the process, however it ends.

    The file stays behind and means nothing by itself; it holds the process id and the host of the last owner.
    Raises UserError when another holds it, or the disk cannot lock.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(path, f"cannot be opened ({os.strerror(error.errno or 0)})",
                            "make the folder writable or choose another with --out") from None  # fmt: skip
        try:
            _take(self._file)
        except OSError as error:
            owner = _owner(self._file)
            os.close(self._file)
            raise _refusal(path, error, owner) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0) if fcntl else None
        _held.add(self)

    def release(self) -> None:
        """Gives the lock back; a second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


_held: "weakref.WeakSet[Lock]" = weakref.WeakSet()


def _forget() -> None:
    """A forked child (a data loader's worker) must not keep its dead parent's lock alive."""
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _take(file: int) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]


def _owner(file: int) -> str:
    try:
        pid, _, host = os.read(file, 300).decode("utf-8", "replace").strip().partition(" ")
    except OSError:
        return "another process"
    return f"process {pid} on {host}" if pid.isdigit() else "another process"


def _refusal(path: Path, error: OSError, owner: str) -> UserError:
    if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
        return UserError(path.parent, f"{owner} is writing here", "wait for it, or choose another folder with --out")
    reason = os.strerror(error.errno or 0)
    return UserError(path, f"this disk cannot lock files ({reason})", "choose a folder on another disk with --out")
