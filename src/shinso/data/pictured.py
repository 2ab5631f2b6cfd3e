"""Published pictures in whatever they came in: a folder, a .zip, a .tar.gz, or one of these inside a .zip.

Everything is read in memory, nothing is unpacked. Published archives have damaged members: each is named and left out,
and only when more than one in a hundred is damaged is the archive refused.
"""

import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.data.examples import Dataset, Examples, describe
from shinso.data.folder import resident_limit
from shinso.data.images import MOST_BYTES, SUFFIXES, decode, read_file
from shinso.data.kept import Made, kept
from shinso.data.loader import by_threads
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


def opened(name: str, where: Path, inner: Sequence[str], title: Callable[[PurePosixPath], str | None],
           side: int) -> tuple[list[tuple[str, str]], Tensor]:
    """What `decoded` gives for the `members` of `where`, perhaps from an earlier run; `name` is the data set's."""
    def make() -> Made:
        names, pixels, bad = decoded(members(where, inner), title, side, where)
        return {"pixels": pixels}, {"names": names, "bad": bad}

    files = [file for file in sorted(where.rglob("*")) if file.is_file()] if where.is_dir() else [where]
    limit = resident_limit() // 2  # they are copied once
    tensors, values = kept(f"{name} {side}", where, files, make)
    names = [(title, member) for title, member in values["names"]]
    _refuse_large(len(names), side, limit, where)
    if bad := values["bad"]:
        warnings.warn(f"{where}: {len(bad)} damaged and left out: {', '.join(bad[:10])}", stacklevel=3)
    return names, tensors["pixels"]


def decoded(found: Iterator[Member], title: Callable[[PurePosixPath], str | None], side: int,
            where: Path) -> tuple[list[tuple[str, str]], Tensor, list[str]]:
    """(class, name) of every good member with a class, sorted, its pixels uint8 (n, 3, side, side), and the bad."""
    good: dict[tuple[str, str], Tensor] = {}
    bad: list[str] = []
    limit = resident_limit() // 2

    def one(member: Member) -> tuple[str, Tensor | UserError]:
        name, content = member
        try:
            ready = content if isinstance(content, UserError) else decode(content, name, at_least=2 * side)
            return name, ready if isinstance(ready, UserError) else picture(ready, 3, side, side)
        except UserError as error:
            return name, error

    classed = (member for member in found if title(PurePosixPath(member[0])) is not None)
    for name, pixels in by_threads(one, classed, where.name):
        if isinstance(pixels, UserError):
            bad.append(f"{name} ({pixels.what})")
            continue
        good[title(PurePosixPath(name)) or "", name] = pixels
        _refuse_large(len(good), side, limit, where)
    if len(bad) > max(2, (len(good) + len(bad)) // 100):
        raise UserError(where, f"{len(bad)} of {len(good) + len(bad)} pictures are damaged, first {bad[0]}", CURE)
    names = sorted(good)
    whole = torch.stack([good[name] for name in names]) if names else torch.zeros(0, 3, side, side, dtype=torch.uint8)
    return names, whole, sorted(bad)


def _refuse_large(count: int, side: int, limit: int, where: Path) -> None:
    if count * 3 * side * side > limit:
        raise UserError(where, f"pictures of {side}x{side} do not fit into memory", "ask for smaller ones")


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
