"""IDX files: read as published, plain and gzip; every way to be wrong is named in one line."""

import gzip
import struct
import time
import warnings

import numpy as np
import pytest
import torch

from shinso.core.errors import UserError
from shinso.data import idx
from shinso.data.examples import open_data
from shinso.data.idx import PARTS, read_idx


def made(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A family of the right form with a few images, and the counts to match."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(idx, "COUNTS", (60, 60, 20, 20))
    monkeypatch.setenv("SHINSO_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, count in zip(PARTS, (60, 60, 20, 20), strict=True):
        labels = np.arange(count, dtype=np.uint8) % 10
        array = rng.integers(0, 256, (count, 28, 28), np.uint8) if "images" in part else labels
        (folder / part).write_bytes(made(array))
    return folder


def opened(held_out=10):
    from shinso.data.mnist import SOURCE

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return idx.load_family(SOURCE, held_out)


def test_plain_and_gzip_and_raw_folders_give_the_same(small):
    plain = opened()
    (small / "raw").mkdir()
    for part in PARTS:
        (small / "raw" / f"{part}.gz").write_bytes(gzip.compress((small / part).read_bytes()))
        (small / part).unlink()
    packed = opened()
    assert torch.equal(plain.train.inputs, packed.train.inputs)
    assert plain.about == packed.about
    assert (len(packed.train), len(packed.validation), len(packed.test)) == (50, 10, 20)
    assert packed.test.targets.tolist() == [i % 10 for i in range(20)]


def test_other_content_is_used_with_one_warning_for_each_file(small):
    from shinso.data.mnist import SOURCE

    with pytest.warns(UserWarning, match="not the published mnist") as seen:
        idx.load_family(SOURCE, 10)
    assert len(seen) == 4


@pytest.mark.parametrize(("part", "change", "says"), [
    (0, lambda b: b[:-1], "header promises"),
    (0, lambda b: b + b"x", "header promises"),
    (0, lambda b: b[:9], "within its header"),
    (0, lambda b: b"", "no IDX file"),
    (0, lambda b: b"\0\0\x0d\3" + b[4:], "magic number 3331"),
    (0, lambda b: b[:4] + b"\xff" * 12 + b[16:], "claims to hold"),
    (0, lambda b: made(np.zeros((60, 28, 27), np.uint8)), "not \\(60, 28, 28\\)"),
    (1, lambda b: made(np.zeros(59, np.uint8)), "not \\(60,\\)"),
    (1, lambda b: b[:8] + b"\x0a" + b[9:], "label 0 is 10"),
    (3, lambda b: made(np.zeros((20, 28, 28), np.uint8)), "not \\(20,\\)"),
    (2, lambda b: gzip.compress(b)[:-20], "too early|damaged"),
    (2, lambda b: gzip.compress(b + b"\0" * 10_000_000), "too long|header promises"),
    (2, lambda b: b"\x1f\x8b" + b[2:], "damaged"),
])
def test_a_wrong_file_is_named_with_what_is_wrong(small, part, change, says):
    path = small / PARTS[part]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UserError, match=says) as caught:
        opened()
    assert caught.value.where == str(path)
    assert "\n" not in caught.value.line()


def test_flipped_bits_of_a_gzip_file_never_pass_unnoticed(small):
    rng = np.random.default_rng(1)
    path = small / PARTS[0]
    whole = gzip.compress(path.read_bytes(), mtime=0)
    path.unlink()
    packed = small / f"{PARTS[0]}.gz"
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(10, len(whole))] ^= 1 << rng.integers(8)
        packed.write_bytes(damaged)
        with pytest.raises(UserError) as caught:
            opened()
        assert caught.value.where == str(packed)


def test_a_missing_family_says_what_to_put_where(tmp_path, monkeypatch):
    import requests

    def refuse(*_, **__):
        raise requests.ConnectionError("no network here")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setenv("SHINSO_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz") as caught:
        open_data("fashion-mnist")
    assert "put it there as" in caught.value.cure


def test_mnist_is_the_published_data_set(real_data):
    if not (real_data / "mnist").is_dir():
        pytest.skip("MNIST is not among the data sets on this machine")
    start = time.process_time()
    data = open_data("mnist")
    assert time.process_time() - start < 2.0, "the aim is 0.6 s on a quiet machine"
    assert data.train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.targets[:5].tolist() == [7, 2, 1, 0, 4]
    assert (len(data.train), len(data.validation), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.train.inputs.shape == (55_000, 1, 28, 28)
    every = data.train.inputs.double() / 255
    assert data.about.mean[0] == pytest.approx(every.mean().item(), abs=1e-9)
    assert data.about.std[0] == pytest.approx(every.std(correction=0).item(), abs=1e-9)
    ink = data.test.inputs[:, 0].numpy() > 0
    assert ink.any(1).sum(1).max() <= 20
    assert ink.any(2).sum(1).max() <= 20
    mass = data.test.inputs[:, 0].double()
    centre = (mass.sum(1) * torch.arange(28)).sum(1) / mass.sum((1, 2))
    assert (centre - 14).abs().max() <= 0.5 + 1e-9


def test_read_idx_reads_any_shape(tmp_path):
    for shape in ((3,), (2, 3), (2, 3, 4), (1, 2, 3, 4)):
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        (tmp_path / "file").write_bytes(made(array))
        assert np.array_equal(read_idx(tmp_path / "file"), array)
        (tmp_path / "file").write_bytes(gzip.compress(made(array)))
        assert np.array_equal(read_idx(tmp_path / "file"), array)
