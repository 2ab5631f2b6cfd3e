"""The embedded digits: the published values, MNIST's form, a fixed split."""

import runpy
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import shinso.data.digits as digits
from shinso.core.errors import UserError
from shinso.data.examples import open_data

HERE = Path(digits.__file__).parent


def test_the_file_is_what_its_script_makes():
    pytest.importorskip("sklearn", reason="scikit-learn holds the published copy")
    payload = runpy.run_path(str(HERE / "_make_digits.py"))["payload"]()
    assert zlib.decompress((HERE / "digits.bin").read_bytes()) == payload


def test_the_first_labels_are_the_published_ones():
    images, labels = digits.originals()
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert images.shape == (1797, 8, 8)
    assert images.max() == 16


def test_the_digits_are_in_the_form_of_mnist():
    pixels = digits.enlarged(digits.originals()[0]).astype(np.float64)
    axis = np.arange(28)
    mass = pixels.sum((1, 2))
    y, x = (pixels.sum(2) * axis).sum(1) / mass, (pixels.sum(1) * axis).sum(1) / mass
    assert np.abs(np.stack([y, x]) - 14).max() < 0.6
    box = np.maximum(_extent(pixels.max(2) > 40), _extent(pixels.max(1) > 40))
    assert 17 <= box.min()
    assert box.max() <= 23
    assert pixels.max() == 255


def _extent(present):
    return present.shape[1] - present[:, ::-1].argmax(1) - present.argmax(1)


def test_the_split_is_fixed_disjoint_and_stratified():
    data = open_data("digits")
    sizes = len(data.train), len(data.validation), len(data.test)
    assert sizes == (1258, 180, 359)
    counts = data.test.targets.bincount()
    assert counts.max() - counts.min() <= 2
    whole = torch.cat([data.train.inputs, data.validation.inputs, data.test.inputs]).numpy()
    every = digits.enlarged(digits.originals()[0])
    assert sorted(row.tobytes() for row in whole) == sorted(row.tobytes() for row in every)


def test_the_small_form_keeps_the_published_values():
    data = open_data("digits:8x8")
    assert data.about.shape == (1, 8, 8)
    assert set(data.train.inputs.unique().tolist()) <= {round(v * 255 / 16) for v in range(17)}
    assert torch.equal(data.train.targets, open_data("digits").train.targets)


def test_an_unknown_form_is_refused():
    with pytest.raises(UserError, match="no form '9x9'"):
        open_data("digits:9x9")


def test_opening_is_quick():
    open_data("digits")
    start = time.process_time()
    open_data("digits")
    assert time.process_time() - start < 0.25, "the aim is 0.05 s on a quiet machine"
