"""Half the sum of squares against torch; and what every loss written by hand has in common: least at the teacher."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.autodiff import byhand
from shinso.autodiff.byhand.auxiliary_loss import AuxiliaryLoss
from shinso.autodiff.byhand.binary_cross_entropy import BinaryCrossEntropy, BinaryCrossEntropyFromLogits
from shinso.autodiff.byhand.categorical_cross_entropy import CategoricalCrossEntropy
from shinso.autodiff.byhand.cross_entropy import CrossEntropy
from shinso.autodiff.byhand.huber import Huber
from shinso.autodiff.byhand.l2_penalised import L2Penalty
from shinso.autodiff.byhand.matrix_completion import MatrixCompletion, planted
from shinso.autodiff.byhand.mean_squared_error import MeanSquaredError
from shinso.autodiff.byhand.nll import NegativeLogLikelihood
from shinso.autodiff.byhand.squared_error import SquaredError
from shinso.core.errors import UserError

GRID = np.arange(-100, 101) / 100
SHARE = 0.3
LOGIT = float(np.log(SHARE / (1 - SHARE)))


def pair(p):
    return np.array([[p, 1 - p]])


def scores(x):
    return np.array([[x, 0.0]])


TABLE, OBSERVED = planted(1)
values, vectors = np.linalg.eigh(TABLE)
FACTOR = vectors[:, -2:] * np.sqrt(values[-2:])
CASES = {
    "squared_error": (SquaredError(), np.array, np.array(0.25), GRID, 0.25),
    "mean_squared_error": (MeanSquaredError(), np.array, np.array(0.25), GRID, 0.25),
    "huber": (Huber(0.1), np.array, np.array(0.25), GRID, 0.25),
    "binary_cross_entropy": (BinaryCrossEntropy(), np.array, np.array(SHARE), (GRID + 1) / 2, SHARE),
    "binary_cross_entropy of logits": (BinaryCrossEntropyFromLogits(), np.array, np.array(SHARE), LOGIT + GRID, LOGIT),
    "cross_entropy": (CrossEntropy(), scores, pair(SHARE), LOGIT + GRID, LOGIT),
    "categorical_cross_entropy": (CategoricalCrossEntropy(), pair, pair(SHARE), np.arange(1, 100) / 100, SHARE),
    "nll": (NegativeLogLikelihood(), lambda p: np.log(pair(p)), np.array([0]), np.arange(1, 101) / 100, 1.0),
    "auxiliary_loss": (AuxiliaryLoss(), lambda x: np.stack([scores(x)] * 3), pair(SHARE), LOGIT + GRID, LOGIT),
    "matrix_completion": (MatrixCompletion(OBSERVED), lambda c: c * FACTOR, TABLE, 1 + GRID / 2, 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_every_loss_is_least_at_the_teacher(name):
    loss, made, target, grid, teacher = CASES[name]
    with np.errstate(divide="ignore"):
        values = [loss.forward(made(place), target) for place in grid]
    assert grid[int(np.argmin(values))] == pytest.approx(teacher, abs=1e-12)
    assert sorted(values)[1] > min(values), "one place only"


def test_no_loss_is_left_out():
    names = sorted(file.stem for file in Path(byhand.__file__).parent.glob("[!_]*.py"))
    losses = set()
    for name in names:
        module = importlib.import_module(f"shinso.autodiff.byhand.{name}")
        if hasattr(module, "example"):
            layer, inputs = module.example(np.random.default_rng(0))
            if isinstance(layer.forward(*inputs), float):
                losses.add(name)
    assert losses - set(CASES) == {"l2_penalised"}, "a penalty has no teacher"


def test_a_penalty_is_least_at_zero():
    assert GRID[int(np.argmin([L2Penalty(0.2).forward(np.array(w)) for w in GRID]))] == 0


@pytest.mark.parametrize("shape", [(7,), (4, 3), (2, 3, 2), ()])
def test_it_is_half_of_torchs_sum_of_squares(shape):
    draw = np.random.default_rng(0)
    y, t, loss = draw.normal(size=shape), draw.normal(size=shape), SquaredError()
    other = torch.tensor(y, requires_grad=True)
    out = F.mse_loss(other, torch.tensor(t), reduction="sum") / 2
    out.backward()
    assert loss.forward(y, t) == pytest.approx(out.item(), rel=1e-14)
    np.testing.assert_array_equal(loss.backward(), other.grad.numpy())


def test_a_target_of_another_shape_is_not_repeated_to_fit():
    with pytest.raises(UserError, match=r"squared error: the target has the shape \(4,\), not \(4, 1\)"):
        SquaredError().forward(np.ones((4, 1)), np.ones(4))


def test_a_loss_of_nothing_is_refused():
    for loss in (SquaredError(), MeanSquaredError(), Huber(), BinaryCrossEntropy()):
        with pytest.raises(UserError, match="nothing is predicted"):
            loss.forward(np.empty((0, 3)), np.empty((0, 3)))
    for loss in (CrossEntropy(), NegativeLogLikelihood(), CategoricalCrossEntropy()):
        with pytest.raises(UserError, match="nothing is predicted"):
            loss.forward(np.empty((0, 3)), np.empty(0, int))
