"""The IDX format of MNIST and its siblings: magic number, sizes, bytes; plain or gzip.

    [0, 0, 8, dimensions] [size_1, ..., size_d as big-endian 32-bit] [size_1 * ... * size_d bytes]          (1)
"""

import hashlib
import struct
import warnings
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch

from shinso.core.errors import UserError
from shinso.data.examples import Dataset, Examples, describe
from shinso.data.fetch import data_home, fetch

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
COUNTS = (60_000, 60_000, 10_000, 10_000)
LARGEST = 1 << 31
"""bytes that a file may claim to hold"""
CURE = "put the published file in its place"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A family of four IDX files: where it is published, and by which sha256 its files are known."""

    name: str
    classes: tuple[str, ...]
    url: str
    """folder of the published .gz files, with a slash at its end"""
    archives: tuple[str, ...]
    """sha256 of the published .gz files, in the order of PARTS"""
    contents: frozenset[str] = frozenset()
    """sha256 of known uncompressed files; empty where nobody computed them"""


def read_idx(path: Path | str) -> np.ndarray:
    """An IDX file of unsigned bytes, plain or gzip, as a uint8 array; a UserError names what is wrong with it."""
    return _parsed(_content(Path(path)), Path(path))


def load_family(source: Source, held_out: int = 5_000) -> Dataset:
    """The four files of a family as a data set; validation is the last `held_out` of the published training part."""
    paths = [locate(source, part, archive) for part, archive in zip(PARTS, source.archives, strict=True)]
    arrays = []
    for path, count in zip(paths, COUNTS, strict=True):
        content = _content(path)
        array = _parsed(content, path)
        _fits(array, path, count, len(source.classes), images="images" in path.name)
        if source.contents and hashlib.sha256(content).hexdigest() not in source.contents:
            warnings.warn(f"{path}: a valid file, but not the published {source.name}", stacklevel=2)
        arrays.append(torch.from_numpy(array))
    images, labels, test_images, test_labels = arrays
    every = Examples(images[:, None], labels.to(torch.int64))
    cut = len(every) - held_out
    train = Examples(every.inputs[:cut], every.targets[:cut])
    return Dataset(about=describe(source.name, source.classes, "handwriting" if source.name == "mnist" else "picture",
                                  train),
                   train=train, validation=Examples(every.inputs[cut:], every.targets[cut:]),
                   test=Examples(test_images[:, None], test_labels.to(torch.int64)))


def locate(source: Source, part: str, archive: str) -> Path:
    """The file of this part under the data folder, plain or .gz, also in `raw/`; fetched where it is absent."""
    home = data_home() / source.name
    for folder in (home, home / "raw"):
        for name in (part, f"{part}.gz", part.replace("-idx", ".idx")):
            if (folder / name).is_file():
                return folder / name
    return fetch(f"{source.url}{part}.gz", home / f"{part}.gz", archive)


def _content(path: Path) -> bytes:
    """The uncompressed bytes, never more than the header promises."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(path, f"it cannot be read ({error.strerror})", CURE) from None
    if raw[:2] != b"\x1f\x8b":
        return raw
    inflate = zlib.decompressobj(wbits=31)
    try:
        head = inflate.decompress(raw, 64)
        sizes = _sizes(head, path)
        rest = inflate.decompress(inflate.unconsumed_tail, max(1, 4 + 4 * len(sizes) + prod(sizes) - len(head) + 1))
    except zlib.error:
        raise UserError(path, "its gzip data are damaged", CURE) from None
    if not inflate.eof:
        # one more call lets zlib read the checksum that follows the last byte
        try:
            rest += inflate.decompress(inflate.unconsumed_tail, 1)
        except zlib.error:
            raise UserError(path, "its gzip data are damaged", CURE) from None
        if not inflate.eof:
            raise UserError(path, "its gzip data end too early or go on too long", CURE)
    return head + rest


def _sizes(content: bytes, path: Path) -> tuple[int, ...]:
    """The sizes of (1), checked."""
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 4:
        magic = int.from_bytes(content[:4], "big")
        raise UserError(path, f"it is no IDX file of bytes (magic number {magic}, not 2049 or 2051)", CURE)
    if len(content) < 4 + 4 * content[3]:
        raise UserError(path, "it ends within its header", CURE)
    sizes = struct.unpack_from(f">{content[3]}I", content, 4)
    if prod(sizes) > LARGEST:
        raise UserError(path, f"it claims to hold {prod(sizes):,} bytes", CURE)
    return sizes


def _parsed(content: bytes, path: Path) -> np.ndarray:
    sizes = _sizes(content, path)
    there = len(content) - 4 - 4 * len(sizes)
    if there != prod(sizes):
        raise UserError(path, f"it holds {there:,} bytes where its header promises {prod(sizes):,}", CURE)
    return np.frombuffer(bytearray(memoryview(content)[4 + 4 * len(sizes) :]), np.uint8).reshape(sizes)


def _fits(array: np.ndarray, path: Path, count: int, classes: int, *, images: bool) -> None:
    """Refuses a valid IDX file that is not this part of the family."""
    wanted = (count, 28, 28) if images else (count,)
    if array.shape != wanted:
        raise UserError(path, f"it holds an array of {array.shape}, not {wanted}", CURE)
    if not images and array.max() >= classes:
        where = int((array >= classes).argmax())
        raise UserError(path, f"label {where} is {array[where]}, but there are only {classes} classes", CURE)
