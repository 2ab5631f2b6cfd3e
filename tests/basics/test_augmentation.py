"""Augmentation on a hundred digits, against the same network without it."""

from dataclasses import replace

import torch
from oracles import records

from shinso.basics import augmentation
from shinso.core.record import plain


def test_few_digits_teach_more_when_they_move():
    found = []
    for variant in ("default", "without"):
        program = augmentation.build(augmentation.VARIANTS[variant])
        records(program)
        found.append(plain(program.evaluate("test"))["accuracy"])
    with_it, without = found
    assert 1 - with_it < 0.75 * (1 - without)


def test_what_is_evaluated_is_not_changed():
    setup = replace(augmentation.VARIANTS["smoke"], epochs=1)
    both = [augmentation.build(replace(setup, augment=flag)) for flag in (True, False)]
    assert plain(both[0].evaluate("test")) == plain(both[1].evaluate("test"))


def test_points_are_left_alone():
    program = augmentation.build(augmentation.Setup(data="two-moons", epochs=1))
    assert program.plan.augment is None
    assert "changed" not in program.pictures()


def test_noise_is_a_function_of_seed_epoch_and_index():
    noise, X = augmentation.Noise(seed=1, sigma=0.1), torch.zeros(4, 3)
    index = torch.tensor([5, 2, 9, 0])
    assert torch.equal(noise(X, index, 3)[[1]], noise(X[:1], index[[1]], 3))
    assert not torch.equal(noise(X, index, 3), noise(X, index, 4))


def test_a_half_turn_is_two_mirrors():
    X = torch.randn(2, 1, 4, 5)
    assert torch.equal(augmentation.half_turn(X), torch.rot90(X, 2, (-2, -1)))
    assert torch.equal(augmentation.mirror(X.transpose(-1, -2)).transpose(-1, -2), X.flip(-2))
