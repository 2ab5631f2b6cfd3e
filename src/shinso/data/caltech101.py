"""Caltech-101: 8,677 photographs of 101 classes, 31 to 800 of each; caltech101:SIDE for other than 64 pixels.

Taken from the first of these under the data folder or its subfolder `caltech101/`: the folder
`101_ObjectCategories/`, `101_ObjectCategories.tar.gz`, or `caltech-101.zip` that holds that; otherwise the last is
fetched once. As in the literature 30 of each class are for training, here 25 of these and 5 for validation, and up to
50 of the others for test. There is a 102nd folder, BACKGROUND_Google, which is no class and left out. Fei-Fei, Fergus
and Perona 2004.
"""

from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from shinso.core.errors import UserError
from shinso.data.examples import Dataset
from shinso.data.fetch import data_home, fetch
from shinso.data.hashing import uniforms
from shinso.data.pictured import CURE, dataset, opened, side_of

FOLDER, BACKGROUND = "101_ObjectCategories", "BACKGROUND_Google"
URL = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
SHA256 = "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91"
CLASSES, SIDE = 101, 64
CUTS = {"train": (0, 25), "validation": (25, 30), "test": (30, 80)}
"""of each class, in an order that chance made once"""


def load(argument: str) -> Dataset:
    """The data set with pictures of `argument` pixels a side."""
    side = side_of("caltech101", argument, SIDE)
    where = _found()
    names, pixels = opened("caltech101", where, (f"{FOLDER}.tar.gz",), _title, side)
    classes = tuple(sorted({title for title, _ in names}))
    if len(classes) != CLASSES:
        raise UserError(where, f"it holds {len(classes)} classes, not {CLASSES}", CURE)
    targets = torch.tensor([classes.index(title) for title, _ in names], dtype=torch.int64)
    fewest = int(targets.bincount().min())
    if fewest <= CUTS["test"][0]:
        few = classes[int(targets.bincount().argmin())]
        raise UserError(where, f"its class {few} has {fewest} pictures, and each needs more than 30", CURE)
    return dataset(f"caltech101:{side}", classes, pixels, targets, _dealt(targets))


def _dealt(targets: Tensor) -> dict[str, Tensor]:
    """Indices for each part, ascending; the same on every machine."""
    shuffled = uniforms(torch.arange(len(targets)), 1, seed=0, epoch=0)[:, 0].argsort(stable=True)
    by_class = [shuffled[targets[shuffled] == k] for k in range(CLASSES)]
    return {part: torch.cat([index[first:end] for index in by_class]).sort().values
            for part, (first, end) in CUTS.items()}


def _found() -> Path:
    homes = (data_home() / "caltech101", data_home(), data_home() / "caltech-101")
    for name in (FOLDER, f"{FOLDER}.tar.gz", "caltech-101.zip"):
        for home in homes:
            if (home / name).exists():
                return home / name
    return fetch(URL, homes[0] / "caltech-101.zip", SHA256)


def _title(path: PurePosixPath) -> str | None:
    return path.parent.name if path.parent.name not in ("", BACKGROUND, FOLDER) else None
