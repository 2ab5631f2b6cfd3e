"""From image to numbers to one number to an answer."""

import dataclasses

import pytest
import torch
from oracles import records

from shinso.basics.classification_map import VARIANTS, Setup, build, decide, flatten, fold, pair
from shinso.core.errors import UserError


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8)])
def test_flatten_goes_row_after_row_and_fold_goes_back(shape):
    images = torch.arange(2 * shape[0] * shape[1]).reshape(2, *shape)
    assert flatten(images)[1].tolist() == [v for row in images[1].tolist() for v in row]
    assert torch.equal(fold(flatten(images), *shape), images)


def test_at_the_threshold_the_answer_is_one():
    assert decide(torch.tensor([0.29999, 0.3, 0.7]), 0.3).tolist() == [False, True, True]


def test_a_pair_has_only_its_two_digits_and_every_split_its_own():
    data = pair(3, 8)
    assert {len(targets) for _, targets in data.values()} != {0}
    assert all(set(targets.tolist()) == {0.0, 1.0} for _, targets in data.values())
    assert float(data["train"][0].min()) == 0 and float(data["train"][0].max()) == 1


@pytest.mark.parametrize("digits", [(0, 1), (3, 8), (7, 1), (4, 9)])
def test_two_digits_are_learned_and_mistakes_add_up(digits):
    program = build(Setup(digits=digits, steps=400))
    records(program)
    judged = {name: float(value) for name, value in program.evaluate("test").items()}
    count = len(program.data["test"][1])
    assert judged["accuracy"] >= 0.95
    assert judged["false_ones"] + judged["false_zeros"] == pytest.approx(count * (1 - judged["accuracy"]), abs=1e-3)


def test_the_threshold_trades_mistakes_without_any_training():
    kinds = []
    for threshold in (0.0, 1.0):
        program = build(Setup(threshold=threshold, steps=40))
        records(program)
        judged = program.evaluate("test")
        kinds.append((int(judged["false_ones"]) > 0, int(judged["false_zeros"]) > 0))
    assert kinds == [(True, False), (False, True)]


def test_the_pictures_are_two():
    assert set(build(VARIANTS["smoke"]).pictures()) == {"beliefs", "unsure"}


@pytest.mark.parametrize("wrong", [{"digits": (1, 1)}, {"digits": (1,)}, {"digits": (1, 12)}, {"threshold": 1.5},
                                   {"hidden": 0}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(Setup(), **wrong))
