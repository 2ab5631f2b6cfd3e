"""Data sets by name, toy sets, and descriptions that outlive their data."""

import json

import pytest
import torch

from shinso.core.errors import UserError
from shinso.data.batches import Batches, sweep
from shinso.data.examples import data_sets, load_description, open_data, save_description

TOYS = ("two-moons", "circles", "spirals", "xor")


def test_the_names_are_found_by_path():
    assert set(data_sets()) == {"caltech101", "cifar10", "described", "digits", "dogs-vs-cats", "fashion-mnist",
                                "folder", "mnist", *TOYS}


def test_a_misspelt_name_is_met_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        open_data("mnits")


@pytest.mark.parametrize("name", TOYS)
def test_toy_sets_are_standardised_balanced_and_the_same_every_time(name):
    data = open_data(f"{name}:500")
    assert (len(data.train), len(data.validation), len(data.test)) == (300, 100, 100)
    assert data.train.inputs.dtype == torch.float32
    assert data.train.inputs.mean(0).abs().max() < 1e-5
    assert (data.train.inputs.std(0, correction=0) - 1).abs().max() < 1e-5
    assert data.train.targets.bincount().tolist() == [150, 150]
    assert torch.equal(open_data(f"{name}:500").test.inputs, data.test.inputs)
    assert len(open_data(name).train) == 360
    assert data.about.form == "points"


@pytest.mark.parametrize("name", TOYS)
def test_no_line_parts_the_toy_classes_but_their_neighbours_do(name):
    data = open_data(f"{name}:1000")
    x, y = data.train.inputs.double(), data.train.targets.double() * 2 - 1
    design = torch.cat([x, torch.ones(len(x), 1)], 1)
    weights = torch.linalg.lstsq(design, y[:, None]).solution
    linear = ((design @ weights)[:, 0].sign() == y).double().mean()
    nearest = torch.cdist(data.test.inputs, data.train.inputs).argmin(1)
    near = (data.train.targets[nearest] == data.test.targets).double().mean()
    assert linear < 0.92
    assert near > 0.95


@pytest.mark.parametrize("argument", ["5", "-3", "many", "1e3", "99999999999999999999"])
def test_toy_sizes_that_are_none_are_refused(argument):
    with pytest.raises(UserError, match="no number of points"):
        open_data(f"xor:{argument}")


@pytest.mark.parametrize("spec", ["digits", "digits:8x8", "xor"])
def test_a_description_outlives_its_data(spec, tmp_path):
    data = open_data(spec)
    path = tmp_path / "data.json"
    save_description(data.about, path)
    assert load_description(path) == data.about
    gone = open_data(f"described:{path}")
    assert gone.about == data.about
    assert len(gone.train) == len(gone.validation) == len(gone.test) == 0
    assert gone.train.inputs.shape == (0, *data.about.shape)
    assert list(sweep(gone.test, gone.about, 10)) == []
    assert Batches(gone.train, gone.about, 10, seed=0).per_epoch == 0


@pytest.mark.parametrize("change", [
    lambda v: v.pop("mean"), lambda v: v.update(mean=[0.1, 0.2]), lambda v: v.update(std=[0.0]),
    lambda v: v.update(shape=[]), lambda v: v.update(form="poem"), lambda v: v.update(extra=1),
    lambda v: v.update(classes="abc"), lambda v: v.update(shape=[1, 0, 28]), lambda v: v.update(mean=["x"])])
def test_a_wrong_description_is_named(change, tmp_path):
    path = tmp_path / "data.json"
    save_description(open_data("digits").about, path)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(UserError) as caught:
        open_data(f"described:{path}")
    assert str(path) in caught.value.where


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_file_that_describes_nothing_is_named(content, tmp_path):
    (tmp_path / "data.json").write_bytes(content)
    with pytest.raises(UserError):
        open_data(f"described:{tmp_path / 'data.json'}")
    for spec in ("described:", f"described:{tmp_path}", "described:/no/such/file"):
        with pytest.raises(UserError):
            open_data(spec)
