"""CIFAR-10: 50,000 and 10,000 colour pictures of 32x32 pixels in ten classes.

Taken from the first of these that is found under the data folder or its subfolder `cifar10/`: the binary batches
(`cifar-10-batches-bin/` or `cifar-10-binary.tar.gz`), the python batches (`cifar-10-batches-py/` or
`cifar-10-python.tar.gz`, read without unpickling), class folders `cifar10/train/<class>/` and `cifar10/test/<class>/`,
or the same in `cifar10_jpeg.zip`; otherwise the binary archive is fetched once. Every tenth of the training part, by
class, is for validation. Krizhevsky 2009.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from shinso.core.errors import UserError
from shinso.data._pickled_batch import read_batch
from shinso.data.examples import Dataset, Examples, describe
from shinso.data.fetch import data_home, fetch
from shinso.data.images import SUFFIXES, decode, read_file
from shinso.data.kept import Made, kept
from shinso.data.loader import by_threads
from shinso.data.prepare import picture
from shinso.data.splits import stratified

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
NAMES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
RECORDS, RECORD = 10_000, 1 + 3 * 32 * 32
CURE = "put the published CIFAR-10 file in its place"
Batch = tuple[np.ndarray, np.ndarray]
"""images uint8 (n, 3, 32, 32) and labels uint8 (n,)"""


def load(argument: str) -> Dataset:
    """The data set; it takes no argument."""
    if argument:
        raise UserError(f"data 'cifar10:{argument}'", "cifar10 takes no argument", "write cifar10")
    (images, labels), (test_images, test_labels) = _found()
    every = Examples(torch.from_numpy(images), torch.from_numpy(labels).to(torch.int64))
    train, validation = (every.part(index) for index in stratified(every.targets, (0.9, 0.1), seed=0))
    test = Examples(torch.from_numpy(test_images), torch.from_numpy(test_labels).to(torch.int64))
    about = describe("cifar10", CLASSES, "picture", train)
    return Dataset(about=about, train=train, validation=validation, test=test)


def _found() -> tuple[Batch, Batch]:
    """The published training and test parts, in whatever form they lie there."""
    homes = (data_home() / "cifar10", data_home())
    for folder, parse, suffix in (("cifar-10-batches-bin", binary_batch, ".bin"),
                                  ("cifar-10-batches-py", python_batch, "")):
        for home in (*homes, homes[0] / "raw"):
            for place in (home / folder, home):
                if (place / f"{NAMES[0]}{suffix}").is_file():
                    paths = [place / f"{name}{suffix}" for name in NAMES]
                    return _joined([parse(read_file(path), path) for path in paths])
    for name in ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"):
        for home in homes:
            if (home / name).is_file():
                return archive(home / name)
    if (homes[0] / "train").is_dir():
        return _from_folders(homes[0])
    for path in (homes[1] / "cifar10_jpeg.zip", homes[0] / "cifar10_jpeg.zip"):
        if path.is_file():
            return _from_zip(path)
    return archive(fetch(URL, homes[0] / "cifar-10-binary.tar.gz", SHA256))


def binary_batch(content: bytes, where: object) -> Batch:
    """Records of one label byte and 3,072 pixel bytes: red, green, blue, each by rows."""
    if not content or len(content) % RECORD:
        raise UserError(where, f"{len(content):,} bytes are no whole number of {RECORD}-byte records", CURE)
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return _checked(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0], where)


def python_batch(content: bytes, where: object) -> Batch:
    """The same from the published pickle, which is read and not run."""
    batch = read_batch(content, where)
    images, labels = batch.get("data"), batch.get("labels")
    if not isinstance(images, np.ndarray) or not isinstance(labels, list) or images.shape != (len(labels), 3072):
        raise UserError(where, "it holds no images with labels", CURE)
    if not all(isinstance(label, int) and 0 <= label < 256 for label in labels):
        raise UserError(where, "its labels are not numbers of classes", CURE)
    return _checked(images.reshape(-1, 3, 32, 32), np.array(labels, np.uint8), where)


def archive(path: Path) -> tuple[Batch, Batch]:
    """Both parts from the published .tar.gz; its members are read in memory, nothing is unpacked."""
    found: dict[str, Batch] = {}
    try:
        with tarfile.open(path, "r|gz") as tar:
            for member in tar:
                name = Path(member.name).name
                parse: Callable[[bytes, object], Batch] = binary_batch if name.endswith(".bin") else python_batch
                stem = name.removesuffix(".bin")
                if stem not in NAMES or not member.isfile() or member.size > 2 * RECORDS * RECORD:
                    continue
                content = tar.extractfile(member)
                found[stem] = parse(content.read() if content else b"", f"{path}: {name}")
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        raise UserError(path, "the archive is damaged", CURE) from None
    missing = [name for name in NAMES if name not in found]
    if missing:
        raise UserError(path, f"{missing[0]} is missing in this archive", CURE)
    return _joined([found[name] for name in NAMES])


def _checked(images: np.ndarray, labels: np.ndarray, where: object) -> Batch:
    if len(labels) and labels.max() > 9:
        wrong = int((labels > 9).argmax())
        raise UserError(where, f"label {wrong} is {labels[wrong]}, but there are only 10 classes", CURE)
    if len(labels) != RECORDS:
        raise UserError(where, f"it holds {len(labels):,} images, not {RECORDS:,}", CURE)
    return images, labels


def _joined(batches: Sequence[Batch]) -> tuple[Batch, Batch]:
    images = np.concatenate([images for images, _ in batches[:-1]])
    labels = np.concatenate([labels for _, labels in batches[:-1]])
    return (images, labels), (batches[-1][0].copy(), batches[-1][1].copy())


def _from_folders(home: Path) -> tuple[Batch, Batch]:
    """Class folders of image files, in order of their names."""
    paths = sorted(path for path in home.glob("t*/*/*") if path.suffix.lower() in SUFFIXES)
    listed = [(path.parent.parent.name, path.parent.name, str(path)) for path in paths]
    return _once(home, paths, lambda: _from_images(listed, read_file, home))


def _from_zip(path: Path) -> tuple[Batch, Batch]:
    """The same folders inside a zip archive; its members are read in memory, nothing is unpacked."""
    return _once(path, [path], lambda: _zipped(path))


def _once(place: Path, files: Sequence[Path], make: Callable[[], tuple[Batch, Batch]]) -> tuple[Batch, Batch]:
    """What `make` decodes, or decoded in an earlier run."""
    names = ("images", "labels", "test_images", "test_labels")

    def tensors() -> Made:
        train, test = make()
        return {name: torch.from_numpy(array) for name, array in zip(names, (*train, *test), strict=True)}, {}

    found = kept("cifar10", place, files, tensors)[0]
    images, labels, test_images, test_labels = (found[name].numpy() for name in names)
    return (images, labels), (test_images, test_labels)


def _zipped(path: Path) -> tuple[Batch, Batch]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.filename)
            named = [(info.filename.split("/"), info.filename) for info in infos if info.file_size < 1 << 20]
            listed = [(parts[-3], parts[-2], name) for parts, name in named
                      if len(parts) >= 3 and Path(parts[-1]).suffix.lower() in SUFFIXES]
            return _from_images(listed, archive.read, path)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError):
        raise UserError(path, "the archive is damaged", CURE) from None


def _from_images(listed: Sequence[tuple[str, str, str]], read: Callable[[str], bytes],
                 where: Path) -> tuple[Batch, Batch]:
    """Decodes (part, class, name) entries; class folders carry the published names."""
    parts: dict[str, list[tuple[int, str]]] = {"train": [], "test": []}
    for part, title, name in listed:
        if part in parts:
            if title not in CLASSES:
                raise UserError(f"{where}: {name}", f"CIFAR-10 has no class '{title}'", f"known: {', '.join(CLASSES)}")
            parts[part].append((CLASSES.index(title), name))
    if not parts["train"] or not parts["test"]:
        raise UserError(where, "it holds no folders train/<class> and test/<class> with images", CURE)

    def one(entry: tuple[int, str]) -> np.ndarray:
        return picture(decode(read(entry[1]), entry[1]), 3, 32, 32).numpy()

    batches = []
    for entries in parts.values():
        images = np.empty((len(entries), 3, 32, 32), np.uint8)
        for i, pixels in enumerate(by_threads(one, entries, where.name, len(entries))):
            images[i] = pixels
        batches.append((images, np.array([label for label, _ in entries], np.uint8)))
    return batches[0], batches[1]
