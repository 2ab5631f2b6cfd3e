"""A user's own pictures: one subfolder per class, any image sizes and modes.

`folder:PATH` holds class folders, or `train/`, `validation/` (or `val/`) and `test/` with the same class folders in
each. Missing parts are cut from the training part, every class alike, always in the same way: 80/10/10. Each image
is fitted by its shorter side and cropped to its middle; `folder:PATH@SIZE` sets the side in pixels, otherwise it is
the median of the shorter sides, at least 28 and at most 64. If every image is grey there is one channel, else three.
Every file is decoded once before training begins, and bad ones are counted and the first is named; where that took
long, the next run finds what was decoded (see kept.py).
"""

import os
import re
import statistics
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.core.setup import nearest
from shinso.data.examples import Dataset, Description, Examples, Split, level_counts, level_moments
from shinso.data.images import SUFFIXES, image_size, open_image
from shinso.data.kept import Made, kept
from shinso.data.loader import Files, by_threads
from shinso.data.prepare import picture
from shinso.data.splits import stratified

LAYOUT = "make one subfolder with images for each class"
SMALLEST, LARGEST = 28, 64
Listing = dict[str, list[Path]]
"""class name -> its image files in a fixed order"""


def load(argument: str) -> Dataset:
    """The pictures in the folder that `argument` names, perhaps with `@SIZE`."""
    path, size = argument, 0
    if found := re.fullmatch(r"(.+)@([0-9]{1,5})", argument, re.DOTALL):
        path, size = found[1], int(found[2])
        if not 4 <= size <= 4096:
            raise UserError(f"data 'folder:{argument}'", f"{size} is no size for an image", "give 4 to 4096 pixels")
    if not path:
        raise UserError("data 'folder:'", "it names no folder", "write folder:PATH")
    return open_folder(Path(path).expanduser(), size, resident_limit())


def open_folder(root: Path, size: int, limit: int) -> Dataset:
    """The data set under `root` with images of `size` x `size` (0: chosen); in memory up to `limit` bytes."""
    classes, parts = _parts(root)
    paths = [path for part in parts.values() for path, _ in part]
    side = size or _side(paths)
    resident = len(paths) * 3 * side * side <= limit
    checked = _checked(root, paths, side, keep=resident, counted=len(parts["train"]))
    channels = 1 if checked.grey else 3
    splits, start = {}, 0
    for name, part in parts.items():
        targets = torch.tensor([target for _, target in part], dtype=torch.int64)
        splits[name] = _split(checked, start, [path for path, _ in part], targets, (channels, side, side))
        start += len(part)
    mean, std = level_moments(checked.levels[:channels])
    about = Description(name=f"folder:{root}@{side}", classes=classes, shape=(channels, side, side), mean=mean,
                        std=std, form="picture")
    return Dataset(about=about, **splits)


def resident_limit() -> int:
    """Bytes of images that may stay in memory: 40 % of what can be had, 1 GiB where the system does not say."""
    with suppress(OSError, ValueError), open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):  # with what the system would give back when asked
                return int(0.4 * 1024 * int(line.split()[1]))
    try:
        return int(0.4 * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 1 << 30


@dataclass(frozen=True)
class _Checked:
    """What one pass over all files left."""

    pixels: Tensor
    """uint8 (n, 3, side, side), or none of them"""
    levels: Tensor
    """how often each level occurs in the training part, int64 (3, 256)"""
    grey: bool


def _checked(root: Path, paths: list[Path], side: int, *, keep: bool, counted: int) -> _Checked:
    """The pass over all files, or what it left in an earlier run; the first `counted` enter the statistics."""
    def make() -> Made:
        found = _decode_all(root, paths, side, keep=keep, counted=counted)
        return {"pixels": found.pixels, "levels": found.levels}, {"grey": found.grey}

    tensors, values = kept(f"folder {side}" if keep else f"folder {side} levels", root, paths, make)
    return _Checked(tensors["pixels"], tensors["levels"], values["grey"])


def _decode_all(root: Path, paths: list[Path], side: int, *, keep: bool, counted: int) -> _Checked:
    """Decodes every file once. Bad files: one UserError for all of them."""
    pixels = torch.empty((len(paths) if keep else 0, 3, side, side), dtype=torch.uint8)
    levels, every_grey, bad = torch.zeros(3, 256, dtype=torch.int64), True, []

    def one(path: Path) -> tuple[bool, Tensor] | UserError:
        try:
            image = open_image(path, at_least=2 * side)
            return image.mode == "L", picture(image, 3, side, side)
        except UserError as error:
            return error

    for i, answer in enumerate(by_threads(one, paths, root.name, len(paths))):
        if isinstance(answer, UserError):
            bad.append(answer)
            continue
        grey, found = answer
        every_grey = every_grey and grey
        if keep:
            pixels[i] = found
        if i < counted:
            levels += level_counts(found[None])
    if bad:
        more = f"; {len(bad)} of {len(paths)} images here are bad" if len(bad) > 1 else ""
        first = min(bad, key=lambda error: error.where)
        raise UserError(first.where, first.what + more, first.cure)
    return _Checked(pixels, levels, every_grey)


def _split(checked: _Checked, start: int, paths: list[Path], targets: Tensor, shape: tuple[int, ...]) -> Split:
    if len(checked.pixels) < start + len(paths):
        return Files(paths, targets, shape)
    pixels = checked.pixels[start : start + len(paths), : shape[0]]
    return Examples(pixels.contiguous(), targets)


def _parts(root: Path) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]]:
    """The class names, and for train, validation and test the files with their class numbers."""
    given = _given(root)
    classes = tuple(sorted(given["train"]))
    if len(classes) < 2:
        there = f"only the class folder '{classes[0]}'" if classes else "no class folders"
        raise UserError(root, f"it has {there}", LAYOUT)
    numbered: dict[str, list[tuple[Path, int]]] = {}
    for name, listing in given.items():
        for title, paths in listing.items():
            if title not in classes:
                raise UserError(root / name / title, "the training part has no such class", nearest(title, classes))
            if not paths:
                raise UserError(root / title, "this class folder holds no images", "add images or remove it")
        numbered[name] = [(path, classes.index(title)) for title in sorted(listing) for path in listing[title]]
    return classes, _completed(root, numbered)


def _given(root: Path) -> dict[str, Listing]:
    """The parts that lie under `root` by name, or everything as `train`."""
    try:
        names = {entry.name.lower(): Path(entry.path) for entry in os.scandir(root) if _is_folder(entry)}
    except OSError as error:
        raise UserError(root, f"this folder cannot be read ({error.strerror})", "check its name") from None
    except ValueError:
        raise UserError(root, "this is no folder name", "write folder:PATH") from None
    if "train" not in names:
        return {"train": _listing(root)}
    validation = names.get("validation", names.get("val"))
    found = {"train": names["train"], "validation": validation, "test": names.get("test")}
    return {part: _listing(folder) for part, folder in found.items() if folder is not None}


def _completed(root: Path, given: dict[str, list[tuple[Path, int]]]) -> dict[str, list[tuple[Path, int]]]:
    """Cuts what is missing from the training part: a tenth for each of validation and test."""
    missing = [name for name in ("validation", "test") if name not in given]
    train = given["train"]
    if missing:
        if len(train) < 10:
            raise UserError(root, f"{len(train)} images are too few to be split", "add images, 10 at the least")
        targets = torch.tensor([target for _, target in train])
        *cut, rest = stratified(targets, [0.1] * len(missing) + [1 - 0.1 * len(missing)], seed=0)
        if set(targets[rest].tolist()) != set(targets.tolist()):
            raise UserError(root, "a class has too few images to be split", "add images to the small classes")
        for name, index in zip(missing, cut, strict=True):
            given[name] = [train[i] for i in index.tolist()]
        given["train"] = [train[i] for i in rest.tolist()]
    return {name: given[name] for name in ("train", "validation", "test")}


def _listing(folder: Path) -> Listing:
    """The image files of every class folder; names that differ only in their Unicode form are one class."""
    listing: Listing = {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.startswith(".") or not _is_folder(entry):
                continue
            title = unicodedata.normalize("NFC", entry.name)
            files = sorted(_images(Path(entry.path), set()), key=lambda p: unicodedata.normalize("NFC", str(p)))
            listing.setdefault(title, []).extend(files)
    return listing


def _images(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Image files below `folder`, each folder once even where links lead in circles."""
    try:
        about = folder.stat()
        if (about.st_dev, about.st_ino) in seen:
            return
        seen.add((about.st_dev, about.st_ino))
        entries: Iterable[os.DirEntry[str]] = sorted(os.scandir(folder), key=lambda e: e.name)
    except OSError as error:
        raise UserError(folder, f"this folder cannot be read ({error.strerror})", "check its permissions") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield from _images(Path(entry.path), seen)
        elif Path(entry.name).suffix.lower() in SUFFIXES:
            yield Path(entry.path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or leads to one; a link that leads to itself does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _side(paths: list[Path]) -> int:
    """The median of the shorter sides of up to 500 images, between SMALLEST and LARGEST."""
    sizes = [size for path in paths[:: max(1, len(paths) // 500)] if (size := image_size(path)) is not None]
    shorter = [min(size) for size in sizes]
    return int(np.clip(statistics.median(shorter), SMALLEST, LARGEST)) if shorter else SMALLEST
