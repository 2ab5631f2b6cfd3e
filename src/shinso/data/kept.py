"""Decoded pictures, kept between runs: who decodes 60,000 files once does not wait for it again.

A file `<name>-<place>.safetensors` in the folder `decoded` of the platform's cache folder, or in the folder that
SHINSO_CACHE names; SHINSO_CACHE=none keeps nothing. It holds what was made, a sha256 of that, and the identity of what
it was made from: names, sizes and times of all files, both ends of an archive, this package's code, Pillow's version.
Whatever does not fit together is made anew, silently, and whatever cannot be written is not kept. The folder holds at
most 4 GiB, the least recently used go first, and nothing is lost when it is deleted.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import PIL
from torch import Tensor, uint8

from shinso.core.place import process

PAYS = 1.0
"""seconds that making must have taken, to be kept"""
MOST = 4 << 30
"""bytes that may be kept in all"""
ENDS = 8 << 20
"""bytes at each end of an archive that are part of its identity: the directory of a .zip with its checksums is there"""
ABANDONED = 3600
"""seconds after which a file half written belongs to nobody any more"""
Made = tuple[dict[str, Tensor], dict[str, Any]]
"""named tensors, and plain values that JSON takes"""


def kept(name: str, place: Path, files: Sequence[Path], make: Callable[[], Made]) -> Made:
    """What `make` gives for these `files` of `place`, from an earlier run where nothing changed since.

    `name` says what is made of them, with everything that decides how. Tensors that were kept are mapped from the
    file: they cost memory only where they are read. Whatever `make` raises is raised, and nothing is kept then.
    """
    folder = kept_folder()
    identity = _identity(name, files) if folder is not None else None
    if folder is None or identity is None:
        return make()
    title = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)[:60]
    path = folder / f"{title}-{_sha256(name.encode(), os.fsencode(place.absolute()))[:16]}.safetensors"
    found = _read(path, identity)
    if found is not None:
        return found
    start = time.perf_counter()
    tensors, values = make()
    if time.perf_counter() - start >= PAYS and _write(path, tensors, values, identity):
        _tell(path, tensors)
        _let_go(folder)
    return tensors, values


def kept_folder() -> Path | None:
    """The folder in which decoded pictures are kept; none where the user wants none."""
    named = os.environ.get("SHINSO_CACHE")
    if named == "none":
        return None
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("shinso")) / "decoded"


def _sha256(*parts: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _identity(name: str, files: Sequence[Path]) -> str | None:
    """A hash of all that decides what is made; none where a file cannot be looked at, so that `make` may say so."""
    try:
        code = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
        seen = []
        for file in files:
            about = os.stat(file)
            seen += [os.fsencode(file), b"%d %d %d" % (about.st_size, about.st_mtime_ns, about.st_ctime_ns)]
        ends = _ends(files[0]) if len(files) == 1 else b""
    except (OSError, ValueError):
        return None
    return _sha256(*code, PIL.__version__.encode(), name.encode(), *seen, ends)


def _ends(path: Path) -> bytes:
    with open(path, "rb") as file:
        first = file.read(ENDS)
        file.seek(max(len(first), os.fstat(file.fileno()).st_size - ENDS))
        return first + file.read(ENDS)


def _read(path: Path, identity: str) -> Made | None:
    """What the file holds, if it is whole and was made of these."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if about.get("identity") != identity:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        values = json.loads(about["values"]) if about["sha256"] == _checksum(tensors, about["values"]) else None
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    with suppress(OSError):
        os.utime(path)  # it was used just now
    return None if values is None else (tensors, values)


def _checksum(tensors: Mapping[str, Tensor], values: str) -> str:
    parts: list[bytes | memoryview] = [values.encode()]
    for name, tensor in sorted(tensors.items()):
        parts += [f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), _bytes(tensor)]
    return _sha256(*parts)


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(b"") if not tensor.numel() else tensor.reshape(-1).view(uint8).numpy().data


def _size(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _write(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any], identity: str) -> bool:
    """Puts the file into its place when it is whole; whether it could be done."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    text, temporary = json.dumps(values), ""
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if _size(whole) > min(MOST, shutil.disk_usage(path.parent).free // 4):
            return False
        handle, temporary = tempfile.mkstemp(".tmp", f"{path.stem}-", path.parent)
        os.close(handle)
        save_file(whole, temporary, {"identity": identity, "values": text, "sha256": _checksum(whole, text)})
        os.replace(temporary, path)
    except (OSError, SafetensorError):
        return False
    finally:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)  # no longer there when all went well
    return True


def _tell(path: Path, tensors: Mapping[str, Tensor]) -> None:
    if process()[0] == 0:
        print(f"shinso: what was decoded is kept in {path} ({_size(tensors) / 1e6:,.0f} MB), so that the next start is "
              "quick. It may be deleted at any time, and SHINSO_CACHE=none keeps nothing.", file=sys.stderr)


def _let_go(folder: Path) -> None:
    """Removes the least recently used beyond MOST bytes, and what somebody left half written."""
    found: list[tuple[float, int, str]] = []
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if entry.name.endswith(".tmp") and time.time() - about.st_mtime > ABANDONED:
                    os.unlink(entry.path)
                elif entry.name.endswith(".safetensors"):
                    found.append((about.st_mtime, about.st_size, entry.path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > MOST:
            with suppress(OSError):
                os.unlink(path)
