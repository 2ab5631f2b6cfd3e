"""Class folders: any sizes and modes, given or cut parts, and every odd tree in one line."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from shinso.core.errors import UserError
from shinso.data.batches import Batches
from shinso.data.examples import open_data
from shinso.data.folder import open_folder
from shinso.data.loader import Files
from shinso.data.survey import class_counts, concerns


def fill(folder, count, *, colour=(200, 30, 30), mode="RGB", size=(50, 40), first=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(first)
    for i in range(first, first + count):
        pixels = (np.array(colour) + rng.integers(-30, 30, (size[1], size[0], 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{i:03}.png")


@pytest.fixture
def pets(tmp_path):
    fill(tmp_path / "犬", 12)
    fill(tmp_path / "cat 😀", 12, colour=(20, 200, 40), mode="RGBA", size=(33, 64))
    fill(tmp_path / "cat 😀" / "deeper", 6, colour=(20, 200, 40), mode="P")
    (tmp_path / "犬" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_classes_sizes_and_parts(pets):
    data = open_data(f"folder:{pets}")
    assert data.about.classes == ("cat 😀", "犬")
    assert data.about.shape == (3, 40, 40)
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 3, 3)
    assert data.about.mean[0] == pytest.approx((data.train.inputs[:, 0].double() / 255).mean().item())
    again = open_data(f"folder:{pets}@20")
    assert again.about.shape == (3, 20, 20)
    assert torch.equal(again.train.targets, data.train.targets)
    red = data.train.inputs[:, 0].double().mean((1, 2)) > 128
    assert torch.equal(red, data.train.targets == 1)


def test_grey_images_have_one_channel_and_one_colour_image_makes_three(tmp_path):
    for name in "ab":
        fill(tmp_path / name, 6, mode="L")
    assert open_data(f"folder:{tmp_path}").about.shape[0] == 1
    fill(tmp_path / "b", 1, first=50)
    assert open_data(f"folder:{tmp_path}").about.shape[0] == 3


def test_given_parts_are_kept(tmp_path):
    for part, count in (("train", 10), ("val", 2), ("test", 3)):
        for name in "ab":
            fill(tmp_path / part / name, count)
    data = open_data(f"folder:{tmp_path}")
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 4, 6)
    fill(tmp_path / "test" / "unknown", 1)
    with pytest.raises(UserError, match="no such class"):
        open_data(f"folder:{tmp_path}")


def test_what_does_not_fit_into_memory_is_the_same_from_disk(pets):
    memory, disk = open_folder(pets, 24, 1 << 30), open_folder(pets, 24, 0)
    assert isinstance(disk.train, Files)
    assert disk.about == memory.about
    one = Batches(memory.train, memory.about, 5, seed=0)
    two = Batches(disk.train, disk.about, 5, seed=0)
    for _ in range(12):
        a, b = one.next(), two.next()
        # resident pixels come through a kernel that equals the plain path to rounding
        assert torch.allclose(a[0], b[0], rtol=0, atol=2e-6)
        assert torch.equal(a[1], b[1])


def test_all_bad_images_are_counted_and_the_first_is_named(pets):
    for name in ("000.png", "001.png", "002.png"):
        (pets / "犬" / name).write_bytes(b"broken")
    with pytest.raises(UserError, match="3 of 30 images here are bad") as caught:
        open_data(f"folder:{pets}")
    assert caught.value.where.endswith("000.png")
    os.remove(pets / "犬" / "000.png")


def _empty(root):
    return "no class folders"


def _one_class(root):
    fill(root / "a", 5)
    return "only the class folder 'a'"


def _one_image(root):
    fill(root / "a", 1)
    return "only the class folder 'a'"


def _too_few(root):
    fill(root / "a", 2)
    fill(root / "b", 2)
    return "too few"


def _empty_class(root):
    fill(root / "a", 12)
    (root / "b").mkdir()
    return "no images"


def _pipe(root):
    fill(root / "a", 12)
    fill(root / "b", 12)
    os.mkfifo(root / "b" / "pipe.png")
    return "not a file"


def _bomb(root):
    fill(root / "a", 12)
    fill(root / "b", 12)
    Image.new("1", (14_000, 14_000)).save(root / "b" / "bomb.png")
    return "megapixels"


@pytest.mark.parametrize("make", [_empty, _one_class, _one_image, _too_few, _empty_class, _pipe, _bomb])
def test_trees_that_are_no_data_set_say_so_in_one_line(make, tmp_path):
    says = make(tmp_path)
    with pytest.raises(UserError, match=says) as caught:
        open_data(f"folder:{tmp_path}")
    assert "\n" not in caught.value.line()
    assert str(tmp_path) in caught.value.where


@pytest.mark.parametrize("spec", ["folder:", "folder:/no/such/place", "folder:x\0y", "folder:.@99999", "folder:.@2"])
def test_specs_that_name_no_folder_are_refused(spec):
    with pytest.raises(UserError):
        open_data(spec)


def test_links_in_circles_end_and_lead_nowhere_twice(pets):
    (pets / "犬" / "again").symlink_to(pets / "犬")
    (pets / "犬" / "self").symlink_to(pets / "犬" / "self")
    data = open_data(f"folder:{pets}")
    assert len(data.train) + len(data.validation) + len(data.test) == 30


def test_class_names_in_two_unicode_forms_are_one_class(tmp_path):
    fill(tmp_path / "が", 6)
    fill(tmp_path / "か\u3099", 6, first=20)
    fill(tmp_path / "b", 6)
    data = open_data(f"folder:{tmp_path}")
    assert data.about.classes == ("b", "が")
    assert len(data.train) + len(data.validation) + len(data.test) == 18


def test_the_survey_counts_and_warns(pets):
    data = open_data(f"folder:{pets}")
    counts = class_counts(data)
    assert {name: sum(numbers) for name, numbers in counts.items()} == {"train": 24, "validation": 3, "test": 3}
    assert sum(numbers[data.about.classes.index("犬")] for numbers in counts.values()) == 12
    assert any("fewer than 10" in line for line in concerns(data))
    assert concerns(open_data("digits")) == []
