"""CIFAR-10: every published form gives the same tensors; the pickle form is read and never run."""

import io
import pickletools
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from shinso.core.errors import UserError
from shinso.data import cifar10
from shinso.data._pickled_batch import read_batch
from shinso.data.examples import open_data

PER_BATCH = 40


def python2_pickle(images: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2's pickle wrote the published ones, opcode by opcode."""
    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    raw = images.tobytes()
    array = (b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04"
             b"(K\x01M" + struct.pack("<H", len(images)) + b"M\x00\x0c\x86"
             b"cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
             b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb")
    numbers = b"]q\x07(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return (b"\x80\x02}q\x01(" + text("data") + array + text("labels") + numbers
            + text("batch_label") + text("training batch 1 of 5") + b"u.")


@pytest.fixture
def parts(monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS", PER_BATCH)
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 256, (PER_BATCH, 3072), np.uint8), (np.arange(PER_BATCH) % 10).astype(np.uint8))
            for _ in cifar10.NAMES]


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], images], 1).tobytes()


def packed(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def written(home, form: str, parts) -> None:
    home.mkdir()
    binaries = {f"{name}.bin": binary(*part) for name, part in zip(cifar10.NAMES, parts, strict=True)}
    pickles = {name: python2_pickle(x, y.tolist()) for name, (x, y) in zip(cifar10.NAMES, parts, strict=True)}
    if form in ("bin", "py"):
        folder = home / "cifar10" / f"cifar-10-batches-{form}"
        folder.mkdir(parents=True)
        for name, content in (binaries if form == "bin" else pickles).items():
            (folder / name).write_bytes(content)
    elif form == "bin.tar":
        packed(home / "cifar-10-binary.tar.gz", {f"cifar-10-batches-bin/{n}": c for n, c in binaries.items()})
    elif form == "py.tar":
        packed(home / "cifar-10-python.tar.gz", {f"cifar-10-batches-py/{n}": c for n, c in pickles.items()})


@pytest.mark.parametrize("form", ["bin", "py", "bin.tar", "py.tar"])
def test_published_formats_give_the_same_tensors(form, parts, tmp_path, monkeypatch):
    written(tmp_path / "home", form, parts)
    monkeypatch.setenv("SHINSO_DATA", str(tmp_path / "home"))
    data = open_data("cifar10")
    assert torch.equal(data.test.inputs, torch.from_numpy(parts[5][0].reshape(-1, 3, 32, 32)))
    assert data.test.targets.tolist() == parts[5][1].tolist()
    assert (len(data.train), len(data.validation)) == (180, 20)
    every = {row.tobytes() for part in parts[:5] for row in part[0]}
    ours = torch.cat([data.train.inputs, data.validation.inputs]).numpy().reshape(-1, 3072)
    assert {row.tobytes() for row in ours} == every


@pytest.mark.parametrize("zipped", [False, True])
def test_class_folders_give_the_same_images(zipped, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images: dict[str, np.ndarray] = {}
    for part, count in (("train", 10), ("test", 2)):
        for title in cifar10.CLASSES:
            for i in range(count):
                images[f"cifar10/{part}/{title}/{i:04}.png"] = rng.integers(0, 256, (32, 32, 3), np.uint8)
    if zipped:
        with zipfile.ZipFile(tmp_path / "cifar10_jpeg.zip", "w") as archive:
            for name, pixels in images.items():
                out = io.BytesIO()
                Image.fromarray(pixels).save(out, "PNG")
                archive.writestr(name, out.getvalue())
    else:
        for name, pixels in images.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.setenv("SHINSO_DATA", str(tmp_path))
    data = open_data("cifar10")
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)
    assert data.validation.targets.bincount().tolist() == [1] * 10
    first = images["cifar10/test/airplane/0000.png"].transpose(2, 0, 1)
    assert np.array_equal(data.test.inputs[0].numpy(), first)


def test_the_reader_agrees_with_what_was_written(parts):
    images, labels = parts[0]
    found = read_batch(python2_pickle(images, labels.tolist()), "x")
    assert np.array_equal(found["data"], images)
    assert found["labels"] == labels.tolist()
    assert found["batch_label"] == "training batch 1 of 5"
    assert any(op.name == "REDUCE" for op, _, _ in pickletools.genops(python2_pickle(images, labels.tolist())))


@pytest.mark.parametrize("hostile", [
    b"cos\nsystem\n(S'touch marker'\ntR.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch marker\x85R.",
    b"cbuiltins\neval\n(S'1'\ntR.",
    b"\x80\x02}(U\x04datacnumpy\ndtype\nU\x02O8K\x00K\x01\x87Ru.",
    b"(S'touch marker'\nios\nsystem\n.",
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncsubprocess\nPopen\nK\x00\x85U\x01b\x87R.",
    b"\x80\x02}(U\x04dataP1\nu.",
    b"", b".", b"\x80\x02", b"not a pickle", b"\x80\x02}u.", b"\x80\x02]q\x01h\x01a.",
])
def test_hostile_pickles_are_refused_and_nothing_runs(hostile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        cifar10.python_batch(hostile, "x")
    assert "\n" not in caught.value.line()
    assert list(tmp_path.iterdir()) == []


def test_damaged_batches_are_named(parts):
    rng = np.random.default_rng(3)
    whole = python2_pickle(*(parts[0][0], parts[0][1].tolist()))
    head = len(whole) - PER_BATCH * 3072
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[int(rng.integers(0, min(400, head)))] = int(rng.integers(256))
        length = int(rng.integers(len(whole) // 2, len(whole) + 1))
        try:
            images, labels = cifar10.python_batch(bytes(damaged[:length]), "x")
            assert images.shape == (PER_BATCH, 3, 32, 32)
            assert labels.max() <= 9
        except UserError as error:
            assert error.where == "x"


@pytest.mark.parametrize(("change", "says"), [
    (lambda b: b[:-1], "whole number"), (lambda b: b[: -3073 * 3], "not 40"),
    (lambda b: b"\x0b" + b[1:], "label 0 is 11"), (lambda b: b"", "whole number")])
def test_wrong_binary_batches_are_named(parts, change, says):
    with pytest.raises(UserError, match=says):
        cifar10.binary_batch(change(binary(*parts[0])), "x")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\0\0\0\0\0\0\3" + b"x" * 99])
def test_damaged_archives_are_named(content, tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|missing"):
        cifar10.archive(path)


@pytest.mark.slow
def test_the_pictures_in_the_zip_archive_are_complete(real_data):
    if not (real_data / "cifar10_jpeg.zip").is_file():
        pytest.skip("the archive of JPEG pictures is not on this machine")
    data = open_data("cifar10")
    assert data.test.targets.bincount().tolist() == [1000] * 10
    assert data.train.targets.bincount().tolist() == [4500] * 10
    assert data.about.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=2e-3)
