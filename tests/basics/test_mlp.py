"""A multilayer perceptron on points and pictures."""

from dataclasses import replace

from shinso.basics import mlp
from shinso.core.record import plain
from shinso.engine.loop import run


def test_xor_is_learned():
    program = mlp.build(mlp.VARIANTS["xor"])
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] > 0.9


def test_digits_are_learned():
    program = mlp.build(replace(mlp.VARIANTS["default"], epochs=10))
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] > 0.95


def test_without_a_hidden_layer_xor_stays_unlearned():
    program = mlp.build(replace(mlp.VARIANTS["xor"], hidden=()))
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] < 0.75
