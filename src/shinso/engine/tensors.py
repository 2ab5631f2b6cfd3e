"""Named tensors in one safetensors file, written and checked in one pass.

The format: 8 bytes header length, a JSON header {name: {dtype, shape, data_offsets}}, the values without gaps. The
header follows from names, types and shapes alone, so the reader makes the one it expects and compares: nothing of a
damaged file is ever interpreted, and nothing is allocated before the size of the file has been found right.
"""

import hashlib
import json
import math
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shinso.engine.disk import write_through
from shinso.engine.tree import NATIVE

_NAMES = {dtype: name for name, dtype in NATIVE.items()}


class Damaged(Exception):
    """Files that are not what was written; one sentence for each fault, beginning with the file's name."""

    def __init__(self, *faults: str):
        self.faults = list(faults)
        super().__init__("; ".join(faults))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Writes contiguous CPU tensors and returns the entry for the manifest: bytes, sha256, tensors."""
    about = {name: {"dtype": _NAMES[t.dtype], "shape": list(t.shape)} for name, t in tensors.items()}
    order, header = _layout(about)
    digest, size = hashlib.sha256(header), len(header)
    chunks: list[bytes | memoryview] = [header]
    for name in order:
        chunk = _bytes(tensors[name])
        digest.update(chunk)
        about[name]["crc32"] = zlib.crc32(chunk)
        size += len(chunk)
        chunks.append(chunk)
    write_through(path, chunks)
    return {"bytes": size, "sha256": digest.hexdigest(), "tensors": about}


def size_of(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of the values, for the message about a full disk."""
    return sum(t.numel() * t.element_size() for t in tensors.values())


def read_tensors(path: Path, entry: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file, each with memory of its own; raises Damaged unless all is as `entry` says."""
    about = entry["tensors"]
    try:
        order, header = _layout(about)
        sizes = {name: _size(about[name]) for name in order}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"{path.name}: the manifest describes no such file ({error})") from None
    _check_size(path, entry["bytes"], len(header), sizes)
    with open(path, "rb", buffering=0) as file:
        found = file.read(len(header))
        digest = hashlib.sha256(found)
        tensors, faults = {}, [] if found == header else [f"{path.name}: its header is damaged"]
        for name in order:
            tensors[name] = torch.empty(about[name]["shape"], dtype=NATIVE[about[name]["dtype"]])
            chunk = _bytes(tensors[name])
            _read_into(file, chunk)
            digest.update(chunk)
            if zlib.crc32(chunk) != about[name].get("crc32"):
                faults.append(f"{path.name}: tensor '{name}' is damaged")
    if not faults and digest.hexdigest() != entry["sha256"]:
        faults.append(f"{path.name}: its sha256 is not the one in the manifest")
    if faults:
        raise Damaged(*faults)
    return tensors


def _layout(about: Mapping[str, Any]) -> tuple[list[str], bytes]:
    """Widest elements first, so that every tensor is aligned; then by name."""
    order = sorted(about, key=lambda name: (-NATIVE[about[name]["dtype"]].itemsize, name))
    header, end = {}, 0
    for name in order:
        begin, end = end, end + _size(about[name])
        header[name] = {"dtype": about[name]["dtype"], "shape": about[name]["shape"], "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return order, len(text).to_bytes(8, "little") + text


def _size(about: Mapping[str, Any]) -> int:
    shape = about["shape"]
    if not all(type(n) is int and 0 <= n < 2**63 for n in shape) or len(shape) > 64:
        raise ValueError(f"shape {shape}"[:80])
    return math.prod(shape) * NATIVE[about["dtype"]].itemsize


def _check_size(path: Path, promised: Any, header: int, sizes: Mapping[str, int]) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        raise Damaged(f"{path.name}: {os.strerror(error.errno or 0)}") from None
    if not stat.S_ISREG(status.st_mode):
        raise Damaged(f"{path.name}: is not a file")
    expected = header + sum(sizes.values())
    if promised != expected:
        raise Damaged(f"{path.name}: the manifest promises {promised} bytes where its tensors need {expected}")
    if status.st_size != expected:
        raise Damaged(f"{path.name}: {status.st_size} bytes where {expected} were written"
                      f"{_first_cut(header, sizes, status.st_size)}")  # fmt: skip


def _first_cut(end: int, sizes: Mapping[str, int], size: int) -> str:
    for name, length in sizes.items():
        end += length
        if end > size:
            return f", tensor '{name}' is cut"
    return ""


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor."""
    if not tensor.numel():
        return memoryview(b"")
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _read_into(file: Any, chunk: memoryview) -> None:
    while len(chunk):
        count = file.readinto(chunk[: 1 << 30])
        if not count:
            return  # cut while it is read: the checksum says so
        chunk = chunk[count:]
