"""The 1,797 handwritten digits of 43 people that come with the package: no download.

Each original is an 8x8 image whose values 0..16 count the inked points in 4x4 blocks of a 32x32 bitmap (Alpaydin and
Kaynak 1998). `digits` shows them in MNIST's form, (1, 28, 28), so that networks and photographs share one
preparation; `digits:8x8` shows the originals, (1, 8, 8), scaled to 0..255. The split does not depend on a run's seed:
1,258 for training, 180 for validation, 359 for testing, every class alike.
"""

import zlib
from pathlib import Path

import numpy as np
import torch

from shinso.core.errors import UserError
from shinso.data.examples import Dataset, Examples, describe
from shinso.data.handwriting import fit_box, to_bytes
from shinso.data.splits import stratified

COUNT = 1797


def load(argument: str) -> Dataset:
    """The data set; `argument` is empty or `8x8`."""
    if argument not in ("", "8x8"):
        raise UserError(f"data 'digits:{argument}'", f"digits has no form '{argument}'", "use digits or digits:8x8")
    small, labels = originals()
    images = np.rint(small * (255 / 16)).astype(np.uint8) if argument else enlarged(small)
    every = Examples(torch.from_numpy(images)[:, None], torch.from_numpy(labels))
    train, validation, test = (every.part(index) for index in stratified(every.targets, (0.7, 0.1, 0.2), seed=0))
    name = f"digits:{argument}" if argument else "digits"
    about = describe(name, tuple("0123456789"), "handwriting", train)
    return Dataset(about=about, train=train, validation=validation, test=test)


def originals() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (1797, 8, 8) with values 0..16 and labels int64 (1797,), in the published order."""
    raw = np.frombuffer(zlib.decompress(Path(__file__).with_name("digits.bin").read_bytes()), np.uint8)
    return raw[COUNT:].reshape(COUNT, 8, 8), raw[:COUNT].astype(np.int64)


def enlarged(small: np.ndarray) -> np.ndarray:
    """The originals in MNIST's form, uint8 (n, 28, 28); the contrast is that of a pen stroke."""
    ink = fit_box(small / np.float32(16))
    return to_bytes(((ink - 0.15) / 0.6).clip(0, 1))
