"""Dogs against cats and Caltech-101: every published layout gives the same pictures; damaged members are named."""

import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest
import requests
import torch
from PIL import Image

from shinso.core.errors import UserError
from shinso.data import caltech101, dogs_vs_cats, pictured
from shinso.data.examples import open_data


def jpeg(seed: int, size=(40, 30), mode="RGB") -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
    small.resize(size).convert(mode).save(out, "JPEG")
    return out.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def put(home, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SHINSO_DATA", str(tmp_path))
    return tmp_path


CATS = {f"PetImages/{title}/{i}.jpg": jpeg(i + 100 * (title == "Dog"), mode=("RGB", "L", "CMYK")[i % 3])
        for title in ("Cat", "Dog") for i in range(30)}
OTHERS = {"PetImages/Cat/Thumbs.db": b"x", "readme[1].txt": b"x", "__MACOSX/PetImages/Cat/._0.jpg": b"x"}
RIVALS = {f"train/{name.split('/')[1].lower()}.{name.split('/')[2]}": content for name, content in CATS.items()}
TREE = {f"{caltech101.FOLDER}/class_{k:03}/image_{i:04}.jpg": jpeg(1000 * k + i, (9, 8)) for k in range(101)
        for i in range(1, 32 + (k == 0) * 60)}
BACKGROUND = {f"{caltech101.FOLDER}/{caltech101.BACKGROUND}/image_0001.jpg": jpeg(1),
              f"{caltech101.FOLDER}/._x.jpg": b""}


def same(a, b) -> bool:
    return a.about.classes == b.about.classes and all(
        torch.equal(x.inputs, y.inputs) and torch.equal(x.targets, y.targets)
        for x, y in ((a.train, b.train), (a.validation, b.validation), (a.test, b.test)))


@pytest.mark.parametrize("layout", ["folder", "inside", "zip", "train.zip", "train", "nested"])
def test_every_layout_of_cats_and_dogs_gives_the_same_pictures(layout, home):
    put(home, {
        "folder": CATS | OTHERS, "inside": {f"dogs-vs-cats/{name}": content for name, content in CATS.items()},
        "zip": {dogs_vs_cats.ARCHIVE: zipped(CATS | OTHERS)}, "train.zip": {"dogs-vs-cats/train.zip": zipped(RIVALS)},
        "train": {f"dogs-vs-cats/{name}": content for name, content in RIVALS.items()},
        "nested": {"dogs-vs-cats.zip": zipped({"train.zip": zipped(RIVALS), "test1.zip": zipped(CATS)})},
    }[layout])
    data = open_data("dogs-vs-cats:16")
    assert data.about.classes == ("cat", "dog") and data.about.shape == (3, 16, 16)
    splits = (data.train, data.validation, data.test)
    assert [split.targets.bincount().tolist() for split in splits] == [[24, 24], [3, 3], [3, 3]]
    every = torch.cat([data.train.inputs, data.validation.inputs, data.test.inputs])
    assert len(every.flatten(1).unique(dim=0)) == 60
    put(home / "again", CATS)
    again = pictured.decoded(pictured.members(home / "again"), lambda path: path.parent.name, 16, home)[1]
    assert sorted(every.sum((1, 2, 3)).tolist()) == sorted(again.sum((1, 2, 3)).tolist())


def test_damaged_members_are_named_and_left_out(home):
    whole = zipped({f"{name[:-4]}_{k}.jpg": content for name, content in CATS.items() for k in range(5)})
    put(home, {"a.zip": whole})
    clean = pictured.decoded(pictured.members(home / "a.zip"), lambda path: path.parent.name, 16, home)
    put(home, {dogs_vs_cats.ARCHIVE: zipped({
        **{f"{name[:-4]}_{k}.jpg": content for name, content in CATS.items() for k in range(5)},
        "PetImages/Cat/666.jpg": b"", "PetImages/Dog/11702.jpg": jpeg(3)[:200]})})
    with pytest.warns(UserWarning, match=r"2 damaged and left out: .*Cat/666\.jpg .*, .*Dog/11702\.jpg"):
        data = open_data("dogs-vs-cats:16")
    assert len(data.train) + len(data.validation) + len(data.test) == len(clean[0]) == 300


def test_a_member_that_cannot_be_unpacked_is_damaged_alone(home):
    content = bytearray(zipped(CATS))
    start = content.find(b"PetImages/Dog/7.jpg") + len("PetImages/Dog/7.jpg")
    content[start + 20] ^= 0xFF
    put(home, {dogs_vs_cats.ARCHIVE: bytes(content)})
    with pytest.warns(UserWarning, match=r"Dog/7\.jpg \(it is damaged in the archive\)"):
        open_data("dogs-vs-cats:16")


def test_too_many_damaged_members_refuse_the_archive(home):
    put(home, {dogs_vs_cats.ARCHIVE: zipped(CATS | {f"PetImages/Cat/9{i}.jpg": b"no" for i in range(5)})})
    with pytest.raises(UserError, match=r"5 of 65 pictures are damaged, first PetImages/Cat/90\.jpg"):
        open_data("dogs-vs-cats:16")


@pytest.mark.parametrize("layout", ["folder", "inside", "tar", "zip"])
def test_every_layout_of_caltech_gives_the_same_parts(layout, home, monkeypatch):
    tar, beside = tarred(TREE | BACKGROUND), {"caltech-101/Annotations.tar": b"x", "__MACOSX/caltech-101/._a.jpg": b"x"}
    put(home, {
        "folder": TREE | BACKGROUND, "inside": {f"caltech101/{name}": content for name, content in TREE.items()},
        "tar": {"caltech101/101_ObjectCategories.tar.gz": tar},
        "zip": {"caltech-101.zip": zipped({"caltech-101/101_ObjectCategories.tar.gz": tar, **beside})},
    }[layout])
    data = open_data("caltech101:8")
    assert len(data.about.classes) == 101 and caltech101.BACKGROUND not in data.about.classes
    assert data.train.targets.bincount().tolist() == [25] * 101
    assert data.validation.targets.bincount().tolist() == [5] * 101
    assert data.test.targets.bincount().tolist() == [50] + [1] * 100
    put(home / "other", TREE)



    monkeypatch.setenv("SHINSO_DATA", str(home / "other"))
    assert same(data, open_data("caltech101:8"))


@pytest.mark.parametrize(("files", "says"), [
    ({name: content for name, content in TREE.items() if "class_1" not in name}, "holds 100 classes, not 101"),
    ({name: content for name, content in TREE.items() if "class_007/image_003" not in name}, "class_007 has 29 pict"),
])
def test_another_tree_is_not_caltech(files, says, home):
    put(home, {"101_ObjectCategories.tar.gz": tarred(files)})
    with pytest.raises(UserError, match=says):
        open_data("caltech101:8")


@pytest.mark.parametrize("name", ["101_ObjectCategories.tar.gz", "caltech-101.zip", "kagglecatsanddogs_5340.zip"])
@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(50), b"\x1f\x8b\x08" + bytes(50)])
def test_damaged_archives_are_one_line(name, content, home):
    put(home, {name: content})
    with pytest.raises(UserError) as caught:
        open_data("dogs-vs-cats" if "cats" in name else "caltech101")
    assert name in caught.value.where and "\n" not in caught.value.line()


@pytest.mark.parametrize("argument", ["x", "0", "7", "513", "64x64", "-8", "²", "9" * 5000])
@pytest.mark.parametrize("name", ["dogs-vs-cats", "caltech101"])
def test_a_side_is_a_number(name, argument, home):
    with pytest.raises(UserError, match="no side in pixels"):
        open_data(f"{name}:{argument}")


def test_pictures_that_do_not_fit_are_refused(home, monkeypatch):
    put(home, CATS)
    monkeypatch.setattr(pictured, "resident_limit", lambda: 10_000)
    with pytest.raises(UserError, match="do not fit into memory"):
        open_data("dogs-vs-cats:16")


class Answer:
    is_redirect, headers = False, {}

    def __init__(self, content: bytes):
        self.content = content

    def raise_for_status(self) -> None: ...

    def iter_content(self, size: int):
        yield self.content


@pytest.mark.parametrize(("module", "content"), [
    (dogs_vs_cats, zipped(CATS)), (caltech101, zipped({"caltech-101/101_ObjectCategories.tar.gz": tarred(TREE)}))])
def test_what_is_absent_is_fetched_once_and_checked(module, content, home, monkeypatch):
    asked = []

    def get(url, **_):
        asked.append(url)
        return Answer(content)

    monkeypatch.setattr(requests, "get", get)
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    with pytest.raises(UserError, match="wrong sha256"):  # these are not the published bytes
        open_data(f"{name}:8")
    assert set(asked) == {module.URL} and not [path for path in home.rglob("*") if path.is_file()]
    asked.clear()
    monkeypatch.setattr(module, "SHA256", hashlib.sha256(content).hexdigest())
    first = open_data(f"{name}:8")
    assert same(first, open_data(f"{name}:8")) and asked == [module.URL]


def test_without_a_network_it_is_said_what_to_put_where(home, monkeypatch):
    def get(url, **_):
        raise requests.ConnectionError("gone")

    monkeypatch.setattr(requests, "get", get)
    with pytest.raises(UserError) as caught:
        open_data("caltech101")
    assert caught.value.where == str(home / "caltech101" / "caltech-101.zip") and caltech101.URL in caught.value.cure
