"""Decoded pictures kept between runs: found again, never when anything changed, and never in anybody's way."""

import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shinso.core.errors import UserError
from shinso.data import cifar10, folder, images, kept, pictured
from shinso.data.examples import open_data
from shinso.data.loader import Files


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder in which everything is kept, however quickly it was made."""
    monkeypatch.setenv("SHINSO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SHINSO_DATA", str(tmp_path))
    monkeypatch.setattr(kept, "PAYS", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def decodings(monkeypatch):
    """The names of all pictures that are decoded while the test runs."""
    seen, decode = [], images.decode

    def counted(raw, where, **options):
        seen.append(str(where))
        return decode(raw, where, **options)

    for module in (images, cifar10, pictured):
        monkeypatch.setattr(module, "decode", counted)
    return seen


def png(seed: int, size: int = 32) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


def cifar_files() -> dict[str, bytes]:
    return {f"cifar10/{part}/{title}/{i}.png": png(1000 * (part == "test") + 100 * i + k)
            for part, count in (("train", 10), ("test", 1)) for i in range(count)
            for k, title in enumerate(cifar10.CLASSES)}


def as_zip(home: Path) -> None:
    with zipfile.ZipFile(home / "cifar10_jpeg.zip", "w") as archive:
        for name, content in cifar_files().items():
            archive.writestr(zipfile.ZipInfo(name), content)


def as_folders(home: Path) -> None:
    for name, content in cifar_files().items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content)


def as_photos(home: Path) -> None:
    for k, title in enumerate(("犬", "猫")):
        (home / "photos" / title).mkdir(parents=True)
        for i in range(10):
            (home / "photos" / title / f"{i}.png").write_bytes(png(10 * k + i, 30))


def as_cats(home: Path) -> None:
    for k, title in enumerate(("Cat", "Dog")):
        (home / "PetImages" / title).mkdir(parents=True)
        for i in range(30):
            (home / "PetImages" / title / f"{i}.jpg").write_bytes(png(100 * k + i, 20))


FORMS = {"a zip": (as_zip, "cifar10"), "class folders": (as_folders, "cifar10"),
         "own photos": (as_photos, "folder:{}/photos"), "cats": (as_cats, "dogs-vs-cats:16")}


def everything(data) -> list[torch.Tensor]:
    return [tensor.clone() for split in (data.train, data.validation, data.test)
            for tensor in (split.inputs, split.targets)]


def same(a, b) -> bool:
    return a.about == b.about and all(torch.equal(x, y) for x, y in zip(everything(a), everything(b), strict=True))


def files_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_the_second_start_decodes_nothing_and_has_the_same_pixels(form, cache, decodings, tmp_path, monkeypatch,
                                                                  capsys):
    make, spec = FORMS[form]
    make(tmp_path)
    spec = spec.format(tmp_path)
    monkeypatch.setenv("SHINSO_CACHE", "none")
    plain = open_data(spec)
    assert not cache.exists() and capsys.readouterr().err == ""
    monkeypatch.setenv("SHINSO_CACHE", str(cache))
    first = open_data(spec)
    said = capsys.readouterr().err
    assert str(cache) in said and "deleted" in said and said.count("\n") == 1
    decodings.clear()
    second = open_data(spec)
    assert decodings == [] and capsys.readouterr().err == ""
    assert same(plain, first) and same(first, second)
    second.test.inputs[:] = 0  # whatever is done with the pixels, the file stays as it is
    assert same(open_data(spec), plain) and decodings == []
    assert len(files_in(cache)) == 1


def rewritten(path: Path, content: bytes) -> None:
    """Other content, with the size and the time of change of the old."""
    about = path.stat()
    assert len(content) == about.st_size
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def other_member(home: Path) -> None:
    path = home / "cifar10_jpeg.zip"
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist()]
    swapped = names[0].replace("/0.png", "/9.png").encode()  # in the directory alone, at the end
    at = content.rindex(names[0].encode())
    content[at : at + len(swapped)] = swapped
    rewritten(path, bytes(content))


def other_photo(home: Path) -> None:
    path = home / "photos" / "犬" / "3.png"
    with Image.open(path) as image:
        pixels = np.asarray(image).copy()
    path.write_bytes(b"")
    Image.fromarray(255 - pixels).save(path)


CHANGES = {
    "a photo has other content": ("own photos", other_photo),
    "a photo has a new name": ("own photos", lambda home: (home / "photos/犬/3.png").rename(home / "photos/犬/33.png")),
    "a photo is gone": ("own photos", lambda home: (home / "photos/犬/3.png").unlink()),
    "a photo is touched": ("own photos", lambda home: os.utime(home / "photos/犬/3.png", ns=(0, 10**18))),
    "a photo has the same size and time": ("own photos", lambda home: rewritten(
        home / "photos/犬/3.png", (home / "photos/犬/3.png").read_bytes())),
    "an archive is touched": ("a zip", lambda home: os.utime(home / "cifar10_jpeg.zip", ns=(0, 10**18))),
    "Pillow is another": ("a zip", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changed_is_decoded_again(change, cache, decodings, tmp_path, monkeypatch):
    form, spoil = CHANGES[change]
    make, spec = FORMS[form]
    make(tmp_path)
    open_data(spec.format(tmp_path))
    if spoil is None:
        monkeypatch.setattr(kept.PIL, "__version__", "0")
    else:
        time.sleep(0.02)  # clocks of file systems tick every few milliseconds
        spoil(tmp_path)
    decodings.clear()
    found = open_data(spec.format(tmp_path))
    assert len(decodings) >= 19
    assert len(files_in(cache)) == 1, "the old file is replaced"
    monkeypatch.setenv("SHINSO_CACHE", "none")
    assert same(found, open_data(spec.format(tmp_path)))


def test_an_archive_is_known_by_its_directory(tmp_path, monkeypatch):
    as_zip(tmp_path)
    path = tmp_path / "cifar10_jpeg.zip"
    about = path.stat()
    before = kept._identity("x", [path])
    other_member(tmp_path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: about)  # as if no clock had ticked
    assert kept._identity("x", [path]) != before


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_pixel(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)


def one_byte_of_the_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[9] ^= 0xFF
    path.write_bytes(content)


DAMAGE = {"empty": lambda path: path.write_bytes(b""), "text": lambda path: path.write_text("no tensors"), "half": half,
          "a pixel": one_pixel, "the header": one_byte_of_the_header, "gone": lambda path: path.unlink(),
          "a huge header": lambda path: path.write_bytes(b"\xff" * 64),
          "longer": lambda path: path.write_bytes(path.read_bytes() + b"x")}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_again(damage, cache, decodings, tmp_path):
    as_zip(tmp_path)
    first = open_data("cifar10")
    (name,) = files_in(cache)
    DAMAGE[damage](cache / name)
    decodings.clear()
    assert same(open_data("cifar10"), first) and len(decodings) == 110
    decodings.clear()
    assert same(open_data("cifar10"), first) and decodings == []


def test_a_folder_in_its_place_is_left_alone(cache, tmp_path):
    as_zip(tmp_path)
    first = open_data("cifar10")
    (name,) = files_in(cache)
    (cache / name).unlink()
    (cache / name).mkdir()
    assert same(open_data("cifar10"), first)
    assert files_in(cache) == [name]


def test_where_nothing_can_be_written_nothing_breaks(cache, decodings, tmp_path, monkeypatch, capsys):
    as_zip(tmp_path)
    cache.write_text("a file where the folder should be")
    for _ in range(2):
        decodings.clear()
        open_data("cifar10")
        assert len(decodings) == 110
    assert capsys.readouterr().err == "" and cache.is_file()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_no_reason_to_stop(cache, tmp_path):
    as_zip(tmp_path)
    cache.mkdir(mode=0o500)
    assert len(open_data("cifar10").test) == 10
    assert files_in(cache) == []


@pytest.mark.parametrize("failing", ["mkstemp", "replace", "save_file"])
def test_a_full_disk_leaves_nothing_behind(failing, cache, tmp_path, monkeypatch):
    import safetensors.torch

    def full(*_):
        raise OSError(28, "No space left on device")

    where = {"mkstemp": kept.tempfile, "replace": kept.os, "save_file": safetensors.torch}[failing]
    monkeypatch.setattr(where, failing, full)
    as_zip(tmp_path)
    assert len(open_data("cifar10").test) == 10
    assert files_in(cache) == []


def test_too_large_for_the_disk_is_not_kept(cache, tmp_path, monkeypatch):
    as_zip(tmp_path)
    monkeypatch.setattr(kept.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 4 * 300_000}))
    open_data("cifar10")
    assert files_in(cache) == []


def test_what_is_quick_is_not_kept(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "PAYS", 3600.0)
    as_zip(tmp_path)
    open_data("cifar10")
    assert not cache.exists()


def test_the_least_recently_used_goes_first(cache, tmp_path, monkeypatch):
    sets = []
    for k in range(4):
        as_photos(tmp_path / str(k))
        sets.append(f"folder:{tmp_path}/{k}/photos")
    open_data(sets[0])
    (size,) = (path.stat().st_size for path in cache.iterdir())
    (cache / "left-by-a-kill.tmp").write_bytes(b"x")
    os.utime(cache / "left-by-a-kill.tmp", (0, 0))
    (cache / "somebody-writes-this-now.tmp").write_bytes(b"x")
    (cache / "notes.txt").write_bytes(b"x")
    monkeypatch.setattr(kept, "MOST", 3 * size + size // 2)
    own = {}
    for k, spec in enumerate(sets):
        before = set(files_in(cache))
        open_data(spec)
        own[k] = own.get(k) or (set(files_in(cache)) - before or {path for path in before if "folder" in path}).pop()
        os.utime(cache / own[k], (1e9 + k, 1e9 + k))
        if k == 2:
            open_data(sets[0])  # used again, so that it is no longer the oldest
    assert set(files_in(cache)) == {own[0], own[2], own[3], "somebody-writes-this-now.tmp", "notes.txt"}


def test_a_bad_picture_is_named_although_the_others_were_kept(cache, tmp_path):
    as_photos(tmp_path)
    open_data(f"folder:{tmp_path}/photos")
    (tmp_path / "photos/猫/7.png").write_bytes(b"no picture any more")
    for _ in range(2):
        with pytest.raises(UserError, match="not an image"):
            open_data(f"folder:{tmp_path}/photos")


def test_damaged_members_are_named_at_every_start(cache, decodings, tmp_path):
    as_cats(tmp_path)
    (tmp_path / "PetImages/Cat/666.jpg").write_bytes(b"")
    for _ in range(2):
        decodings.clear()
        with pytest.warns(UserWarning, match=r"1 damaged and left out: Cat/666\.jpg \(the file is empty\)"):
            open_data("dogs-vs-cats:16")
    assert decodings == []


def test_pictures_that_no_longer_fit_are_refused(cache, tmp_path, monkeypatch):
    as_cats(tmp_path)
    open_data("dogs-vs-cats:16")
    monkeypatch.setattr("shinso.data.pictured.resident_limit", lambda: 10_000)
    with pytest.raises(UserError, match="do not fit into memory"):
        open_data("dogs-vs-cats:16")


def test_pictures_on_disk_are_not_looked_through_again(cache, decodings, tmp_path, monkeypatch):
    as_photos(tmp_path)
    spec = f"folder:{tmp_path}/photos"
    resident = open_data(spec)
    monkeypatch.setattr(folder, "resident_limit", lambda: 0)
    first = open_data(spec)
    decodings.clear()
    second = open_data(spec)
    assert decodings == [] and first.about == second.about == resident.about
    assert isinstance(second.train, Files)
    assert torch.equal(second.train.pick(torch.arange(16)), resident.train.inputs)
    (tmp_path / "photos/猫/7.png").write_bytes(b"no picture any more")
    with pytest.raises(UserError, match="not an image"):
        second.train.pick(torch.tensor([i for i, path in enumerate(second.train.paths) if path.stem == "7"]))


OPEN = """
import hashlib, sys, time
from shinso.data import kept
from shinso.data.examples import open_data
kept.PAYS = 0.0
time.sleep(max(0, float(sys.argv[1]) - time.time()))
for _ in range(5):
    for old in kept.kept_folder().glob("*.safetensors"):
        old.unlink(missing_ok=True)
    data = open_data("cifar10")
    print(hashlib.sha256(data.train.inputs.numpy().tobytes() + data.test.inputs.numpy().tobytes()).hexdigest())
"""


def test_two_processes_at_once_see_the_same(cache, tmp_path):
    as_zip(tmp_path)
    begin = str(time.time() + 8)
    both = [subprocess.Popen([sys.executable, "-c", OPEN, begin], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert len({line for out, _ in answers for line in out.split()}) == 1
    assert all(len(out.split()) == 5 for out, _ in answers)
    assert len(files_in(cache)) == 1 and files_in(cache)[0].endswith(".safetensors")
    assert cache.stat().st_mode & 0o777 == 0o700 and (cache / files_in(cache)[0]).stat().st_mode & 0o777 == 0o600
