"""What `shinso run` does with no options: after it new digits are read as well as the course shows."""

import importlib

import pytest
from oracles import records

BOUNDS = {
    "alexnet": 0.97,
    "densenet": 0.97,
    "dual_path": 0.97,
    "googlenet": 0.97,
    "inception_resnet": 0.97,
    "inception_v2": 0.97,
    "inception_v3": 0.97,
    "inception_v4": 0.97,
    "lecun_1989": 0.97,
    "mlp_image": 0.96,
    "preact_resnet": 0.97,
    "residual_attention": 0.97,
    "resnet": 0.97,
    "simple_convnet": 0.97,
    "squeeze_excitation": 0.97,
    "vgg": 0.97,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDS)
def test_the_default_run_reads_new_digits(name):
    system = importlib.import_module(f"shinso.vision.{name}")
    program = system.build(system.VARIANTS["default"])
    records(program)
    assert program.evaluate("test")["accuracy"] >= BOUNDS[name]
