"""Dogs against cats: 25,000 photographs of two classes, of any size; dogs-vs-cats:SIDE for other than 64 pixels.

Taken from the first of these under the data folder or its subfolder `dogs-vs-cats/`: the folder `PetImages/`, with
`Cat/` and `Dog/`, the archive `kagglecatsanddogs_5340.zip` that holds it, or the competition's `train.zip` or `train/`
with `cat.0.jpg`; otherwise the archive is fetched once. 80 % are for training and a tenth each for validation and
test, by class. Its few damaged pictures are named and left out. Elson, Douceur, Howell and Saul 2007.
"""

from pathlib import Path, PurePosixPath

import torch

from shinso.core.errors import UserError
from shinso.data.examples import Dataset
from shinso.data.fetch import data_home, fetch
from shinso.data.pictured import CURE, dataset, opened, side_of
from shinso.data.splits import stratified

CLASSES = ("cat", "dog")
ARCHIVE = "kagglecatsanddogs_5340.zip"
URL = f"https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/{ARCHIVE}"
SHA256 = "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9"
SIDE = 64


def load(argument: str) -> Dataset:
    """The data set with pictures of `argument` pixels a side."""
    side = side_of("dogs-vs-cats", argument, SIDE)
    where = _found()
    names, pixels = opened("dogs-vs-cats", where, ("train.zip",), _title, side)
    targets = torch.tensor([CLASSES.index(title) for title, _ in names], dtype=torch.int64)
    if len(names) < 20 or len(targets.unique()) < 2:
        raise UserError(where, "it holds no cats and dogs, as Cat/0.jpg or as cat.0.jpg", CURE)
    validation, test, train = stratified(targets, (0.1, 0.1, 0.8), seed=0)
    parts = {"train": train, "validation": validation, "test": test}
    return dataset(f"dogs-vs-cats:{side}", CLASSES, pixels, targets, parts)


def _found() -> Path:
    homes = (data_home() / "dogs-vs-cats", data_home())
    for name in ("PetImages", ARCHIVE, "train.zip", "train", "dogs-vs-cats.zip"):
        for home in homes[: 1 if name.startswith("train") else 2]:  # `train` alone may be anybody's
            if (home / name).exists():
                return home / name
    return fetch(URL, homes[0] / ARCHIVE, SHA256)


def _title(path: PurePosixPath) -> str | None:
    """Cat/7.jpg and cat.7.jpg are cats."""
    title = path.parent.name.lower()
    if title not in CLASSES:
        title = path.name.partition(".")[0].lower()
    return title if title in CLASSES else None
