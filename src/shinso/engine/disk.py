"""Files that are either whole or not there: write beside, force to the disk, rename.

Everything that a run leaves behind goes through these few functions, each made of single system calls, so that a test
can fail or kill any of them.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from shinso.core.errors import UserError

_MOST_AT_ONCE = 1 << 30  # one write() takes at most 2 GiB
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def write_through(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """A file of `chunks`, on the disk and not only in its cache when this returns. Overwrites; not atomic by itself."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        for chunk in chunks:
            write_all(file, chunk)
        os.fsync(file)
    finally:
        os.close(file)


def write_all(file: int, chunk: bytes | memoryview) -> None:
    """The whole chunk to an open file descriptor; the system may take it in parts."""
    rest = memoryview(chunk)
    while len(rest):
        rest = rest[os.write(file, rest[:_MOST_AT_ONCE]) :]


def sync_folder(folder: Path) -> None:
    """Forces the names in `folder` to the disk; systems that cannot open a folder keep them in order themselves."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def atomic_write_bytes(path: Path, content: bytes) -> None:
    """`path` holds its old content or `content`, never a part. Raises UserError with the room needed and free."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with explained(path, len(content)):
        try:
            write_through(temporary, [content])
            os.replace(temporary, path)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def atomic_write_text(path: Path, text: str) -> None:
    """The same for text, as UTF-8."""
    atomic_write_bytes(path, text.encode("utf-8"))


def make_folder(folder: Path) -> None:
    """`folder` and its parents; each new name is forced to the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def remove_tree(folder: Path) -> None:
    """Deletes a folder that nobody needs; what cannot be deleted now is left for the next time."""
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def explained(path: Path, needed: int) -> Iterator[None]:
    """Turns the system's error while `path` is written into one line: the file, the room needed, the room free."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        room = f"{needed} bytes needed, {free_bytes(path)} free"
        cure = "free some space" if error.errno in _FULL else "make it writable"
        raise UserError(path, f"cannot be written ({reason}; {room})",
                        f"{cure} or choose another folder; what was saved before is intact") from error  # fmt: skip


def free_bytes(path: Path) -> int:
    """Room left on the disk of `path`, or of its nearest parent that exists."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return 0
