"""LeNet-5 in NumPy: it learns, with either engine alike, asks no torch for a gradient, and reads MNIST."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import records
from PIL import Image
from torch import nn

from shinso.basics import lenet_by_hand
from shinso.core.errors import UserError
from shinso.core.record import plain
from shinso.data.examples import open_data
from shinso.engine.loop import run

SMOKE = lenet_by_hand.VARIANTS["smoke"]


def test_the_scores_are_those_of_torchs_layers():
    network = lenet_by_hand.lenet(np.random.default_rng(0), dtype=np.float64)
    theirs = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                           nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
                           nn.ReLU(), nn.Linear(84, 10)).double()
    with torch.no_grad():
        for parameter, array in zip(theirs.parameters(), network.params.values(), strict=True):
            parameter.copy_(torch.tensor(array.T if array.ndim == 2 else array))
        x = np.random.default_rng(1).normal(size=(5, 1, 28, 28))
        np.testing.assert_allclose(network.forward(x), theirs(torch.tensor(x)).numpy(), rtol=1e-12, atol=1e-12)


def test_digits_are_learned_and_predicted(tmp_path):
    program = lenet_by_hand.build(replace(SMOKE, epochs=6))
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] > 0.95
    assert {"confusion"} <= set(program.pictures())
    digit, label = open_data("digits").test[0]
    Image.fromarray(255 - digit[0].numpy()).resize((280, 280)).save(tmp_path / "digit.png")
    ((answer, probability),) = program.predict([tmp_path / "digit.png"])
    assert answer == str(int(label)) and 0.5 < probability <= 1


def test_both_engines_write_the_same_record():
    one, other = (records(lenet_by_hand.build(replace(SMOKE, engine=engine)), 0, 20) for engine in ("byhand", "tape"))
    assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in other], rel=1e-4)


def test_no_backward_of_torch_is_called(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("torch computed a gradient")

    monkeypatch.setattr(torch.autograd, "backward", refused)
    monkeypatch.setattr(torch.autograd, "grad", refused)
    for engine in ("byhand", "tape"):
        assert len(records(lenet_by_hand.build(replace(SMOKE, engine=engine)), 0, 2)) == 2


def test_augmentation_changes_the_course():
    one, other = (records(lenet_by_hand.build(replace(SMOKE, augment=augment)), 0, 3) for augment in (True, False))
    assert one != other


def test_pictures_of_other_sizes_and_colours_fit():
    network = lenet_by_hand.lenet(np.random.default_rng(0), (3, 13, 17), 7)
    assert network.forward(np.zeros((2, 3, 13, 17), np.float32)).shape == (2, 7)


def test_points_are_refused():
    with pytest.raises(UserError, match="at least 12x12"):
        lenet_by_hand.build(lenet_by_hand.Setup(data="xor"))


@pytest.mark.slow
def test_mnist_is_read_at_99_percent(real_data):
    program = lenet_by_hand.build(lenet_by_hand.VARIANTS["mnist"])
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] >= 0.99
