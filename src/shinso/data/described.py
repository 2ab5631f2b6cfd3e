"""A data set that is gone: only its description, from a run's data.json, and three empty splits.

`predict` and `export` rebuild a network from `described:PATH`; nothing can be trained on it.
"""

from pathlib import Path

import torch

from shinso.core.errors import UserError
from shinso.data.examples import Dataset, Examples, load_description


def load(argument: str) -> Dataset:
    """The data set that the file `argument` describes, without examples."""
    if not argument:
        raise UserError("data 'described'", "it names no file", "write described:RUN/data.json")
    about = load_description(Path(argument))
    kind = torch.float32 if about.form == "points" else torch.uint8
    empty = Examples(torch.zeros((0, *about.shape), dtype=kind), torch.zeros(0, dtype=torch.int64))
    return Dataset(about=about, train=empty, validation=empty, test=empty)
