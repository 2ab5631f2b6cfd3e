"""A person's own pictures as training data: from a folder to tensors, and a bad file by its name."""

import numpy as np
import pytest
import torch
from PIL import Image

from shinso.core.errors import UserError
from shinso.data.batches import Batches, sweep
from shinso.data.examples import open_data


def draw_pictures(folder):
    """Ten grey 12x10 pictures each of the classes `b-dark` (level 40) and `a-light` (level 210)."""
    for name, level in (("b-dark", 40), ("a-light", 210)):
        (folder / name).mkdir()
        for i in range(10):
            Image.fromarray(np.full((12, 10), level + i, np.uint8)).save(folder / name / f"{i}.png")


def test_a_folder_becomes_tensors_and_a_bad_file_is_named(tmp_path):
    draw_pictures(tmp_path)
    data = open_data(f"folder:{tmp_path}@8")
    assert data.about.classes == ("a-light", "b-dark"), "labels count the sorted names of the folders"
    assert data.about.shape == (1, 8, 8)
    parts = (data.train, data.validation, data.test)
    assert sum(map(len, parts)) == 20
    for part in parts:
        for pixels, target in (part[i] for i in range(len(part))):
            assert pixels.dtype == torch.uint8 and pixels.shape == (1, 8, 8)
            assert (float(pixels.float().mean()) < 128) == (int(target) == 1)
    inputs, targets = Batches(data.train, data.about, len(data.train), seed=0).next()
    assert inputs.dtype == torch.float32 and targets.dtype == torch.int64
    assert abs(float(inputs.mean())) < 1e-5 and abs(float(inputs.std(correction=0)) - 1) < 1e-5

    (tmp_path / "b-dark" / "3.png").write_bytes(b"no picture")
    with pytest.raises(UserError) as caught:
        open_data(f"folder:{tmp_path}@8")
    assert caught.value.where.endswith("3.png")


def test_training_is_shuffled_by_the_seed_and_testing_keeps_its_order():
    data = open_data("digits:8x8")
    n = len(data.train)

    def epochs(seed: int) -> list[list[int]]:
        batches = Batches(data.train, data.about, 200, seed=seed)
        batches.targets = torch.arange(n)  # so that a batch says which examples it holds
        return [torch.cat([batches.next()[1] for _ in range(batches.per_epoch)]).tolist() for _ in range(2)]

    first, second = epochs(0)
    assert sorted(first) == sorted(second) == list(range(n)), "each epoch is a permutation"
    assert first != second and first != list(range(n))
    assert epochs(0) == [first, second] and epochs(1)[0] != first
    for _ in range(2):
        swept = torch.cat([targets for _, targets in sweep(data.test, data.about, 200)])
        assert torch.equal(swept, data.test.targets)
