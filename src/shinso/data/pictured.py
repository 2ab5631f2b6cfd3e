"""Published pictures in whatever they came in: a folder, a .zip, a .tar.gz, or one of these inside a .zip.

Everything is read in memory, nothing is unpacked. Published archives have damaged members: each is named and left out,
and only when more than one in a hundred is damaged is the archive refused.
"""

import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.data.examples import Dataset, Examples, describe
from shinso.data.folder import resident_limit
from shinso.data.images import MOST_BYTES, SUFFIXES, decode, read_file
from shinso.data.loader import threads
from shinso.data.prepare import picture

CURE = "put the published file in its place"
Member = tuple[str, bytes | UserError]
"""name inside the archive, with slashes, and content, or why there is none"""


def members(path: Path, inner: Sequence[str] = ()) -> Iterator[Member]:
    """Every picture below the folder or in the archive `path`; of archives in it, those whose name is in `inner`."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                try:
                    yield file.relative_to(path).as_posix(), read_file(file)
                except UserError as error:
                    yield file.relative_to(path).as_posix(), error
        return
    try:
        with open(path, "rb") as raw:
            yield from _archived(raw, path.name, inner)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError):
        raise UserError(path, "the archive is damaged", CURE) from None


def _archived(raw: IO[bytes], name: str, inner: Sequence[str]) -> Iterator[Member]:
    if not name.endswith(".zip"):
        with tarfile.open(fileobj=raw, mode="r|gz") as tar:
            for entry in tar:
                if entry.isfile() and _wanted(entry.name, entry.size) and (content := tar.extractfile(entry)):
                    yield entry.name, content.read()
        return
    with zipfile.ZipFile(raw) as archive:
        for entry in archive.infolist():
            if PurePosixPath(entry.filename).name in inner:
                with archive.open(entry) as nested:
                    yield from _archived(nested, entry.filename, ())
            elif _wanted(entry.filename, entry.file_size):
                try:
                    yield entry.filename, archive.read(entry)
                except (zipfile.BadZipFile, zlib.error, EOFError):
                    yield entry.filename, UserError(entry.filename, "it is damaged in the archive", CURE)


def _wanted(name: str, size: int) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and size <= MOST_BYTES \
        and "__MACOSX" not in path.parts


def decoded(found: Iterator[Member], title: Callable[[PurePosixPath], str | None], side: int,
            where: object) -> tuple[list[tuple[str, str]], Tensor]:
    """(class, name) of every good member with a class, sorted, and its pixels uint8 (n, 3, side, side)."""
    limit, good, bad = resident_limit(), {}, []

    def one(member: Member) -> tuple[str, Tensor | UserError]:
        name, content = member
        try:
            ready = content if isinstance(content, UserError) else decode(content, name, at_least=2 * side)
            return name, ready if isinstance(ready, UserError) else picture(ready, 3, side, side)
        except UserError as error:
            return name, error

    classed = (member for member in found if title(PurePosixPath(member[0])) is not None)
    with ThreadPoolExecutor(threads()) as pool:
        while some := list(islice(classed, 256)):
            for name, pixels in pool.map(one, some):
                if isinstance(pixels, UserError):
                    bad.append(f"{name} ({pixels.what})")
                else:
                    good[title(PurePosixPath(name)) or "", name] = pixels
            if len(good) * 3 * side * side > limit // 2:  # they are copied once
                raise UserError(where, f"pictures of {side}x{side} do not fit into memory", "ask for smaller ones")
    if len(bad) > max(2, (len(good) + len(bad)) // 100):
        raise UserError(where, f"{len(bad)} of {len(good) + len(bad)} pictures are damaged, first {bad[0]}", CURE)
    if bad:
        warnings.warn(f"{where}: {len(bad)} damaged and left out: {', '.join(sorted(bad)[:10])}", stacklevel=2)
    names = sorted(good)
    return names, torch.stack([good[name] for name in names]) if names else torch.zeros(0, 3, side, side)


def dataset(name: str, classes: tuple[str, ...], pixels: Tensor, targets: Tensor,
            parts: Mapping[str, Tensor]) -> Dataset:
    """The pictures dealt out by their indices into train, validation and test."""
    train, validation, test = (Examples(pixels[parts[part]], targets[parts[part]])
                               for part in ("train", "validation", "test"))
    return Dataset(about=describe(name, classes, "picture", train), train=train, validation=validation, test=test)


def side_of(name: str, argument: str, usual: int) -> int:
    """The side in pixels that `NAME:SIDE` asks for."""
    if not argument:
        return usual
    if not argument.isascii() or not argument.isdigit() or not 8 <= int(argument[:6]) <= 512:
        raise UserError(f"data '{name}:{argument}'", "what follows is no side in pixels",
                        f"write {name}:{usual}, 8 to 512")
    return int(argument)
