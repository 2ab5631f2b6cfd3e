"""Supervised training equals the loop anyone would write, resumes exactly, and names the layer that breaks."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shinso.basics import mlp
from shinso.core.errors import Diverged, UserError
from shinso.core.place import Place
from shinso.core.seed import generator
from shinso.data.examples import open_data, save_description, to_float
from shinso.engine.hooks import Watch
from shinso.engine.loop import run
from shinso.learn.classify import CLASSIFY
from shinso.learn.schedules import constant, cosine, one_cycle
from shinso.learn.supervised import Plan, Supervised

SETUP = replace(mlp.VARIANTS["smoke"], epochs=2, optimiser="sgd", schedule="constant", lr=0.1)


def test_training_equals_the_plain_loop():
    program = mlp.build(SETUP)
    data = open_data("digits")
    model = mlp.MLP((784, 16, 10))
    model.load_state_dict(program.model.state_dict())
    order = torch.randperm(len(data.train), generator=generator(0, "order/0"))
    rule = torch.optim.SGD(model.parameters(), lr=0.1)
    for i, row in zip(range(20), run(program), strict=False):
        index = order[i * 50 : (i + 1) * 50]
        loss = F.cross_entropy(model(to_float(data.train.inputs[index], data.about)), data.train.targets[index])
        rule.zero_grad()
        loss.backward()
        rule.step()
        torch.testing.assert_close(row.record["loss"], loss.detach(), atol=2e-5, rtol=1e-4)


def test_leaving_out_zero_grad_gives_another_result():
    program, other = mlp.build(SETUP), mlp.build(SETUP)
    for recorded in (program, other):
        recorded.task = replace(recorded.task, gradient=None)
    other.optimiser.zero_grad = lambda: None
    for _, _ in zip(range(3), zip(run(program), run(other), strict=True), strict=False):
        pass
    assert not torch.allclose(program.model.layers[0].weight, other.model.layers[0].weight, atol=1e-4)


@pytest.mark.parametrize("k", [1, 13, 26, 30])
def test_a_run_resumed_at_any_step_is_bit_identical(k):
    whole = mlp.build(mlp.VARIANTS["smoke"])
    rows = [float(row.record["loss"]) for row in run(whole)]
    first = mlp.build(mlp.VARIANTS["smoke"])
    for _, _ in zip(range(k), run(first), strict=False):
        pass
    second = mlp.build(replace(mlp.VARIANTS["smoke"], seed=0))
    second.restore(first.state())
    assert [float(row.record["loss"]) for row in run(second, start=k)] == rows[k:]


def test_evaluation_does_not_depend_on_when_it_is_asked():
    program = mlp.build(SETUP)
    assert program.evaluate("test") == program.evaluate("test")


def test_a_poisoned_input_is_named_before_it_reaches_the_weights():
    program = mlp.build(replace(mlp.VARIANTS["xor"], epochs=2))
    program.data.train.inputs[7, 0] = float("nan")
    with pytest.raises(Diverged, match="first bad tensor: input, rows"):
        list(run(program, Watch()))
    assert all(weight.isfinite().all() for weight in program.model.parameters())


def test_a_poisoned_weight_is_named():
    program = mlp.build(SETUP)
    with torch.no_grad():
        program.model.layers[1].weight[3, 3] = float("inf")
    with pytest.raises(Diverged, match=r"layers\.1\.weight"):
        list(run(program, Watch()))


def test_a_learning_rate_a_thousand_times_too_large_is_stopped():
    with pytest.raises(Diverged):
        list(run(mlp.build(replace(SETUP, lr=1e4, epochs=4)), Watch()))


def test_named_terms_add_up_to_the_loss():
    def two_terms(model, batch, noise):
        inputs, targets = batch
        fit = F.cross_entropy(model(inputs.flatten(1)), targets)
        return {"fit": fit, "size": model.layers[0].weight.square().mean()}

    data = open_data("digits")
    model = mlp.MLP((784, 10))
    task = replace(CLASSIFY, objective=two_terms)
    program = Supervised(model, torch.optim.SGD(model.parameters(), lr=0.1), task, data,
                         Plan(epochs=1, batch_size=100, seed=0, clip=1.0), Place())
    record = program.step(0)
    torch.testing.assert_close(record["loss"], record["fit"] + record["size"])


def test_a_system_without_answers_says_so():
    data = open_data("digits")
    model = nn.Linear(784, 10)
    program = Supervised(model, torch.optim.SGD(model.parameters(), lr=0.1), replace(CLASSIFY, predict=None), data,
                         Plan(epochs=1, batch_size=100, seed=0), Place())
    with pytest.raises(UserError, match="does not answer"):
        program.predict([])


def test_points_cannot_be_predicted_from_pictures(tmp_path):
    program = mlp.build(replace(mlp.VARIANTS["xor"], epochs=1))
    with pytest.raises(UserError, match="reads no pictures"):
        program.predict([tmp_path / "x.png"])


def test_schedules_start_and_end_where_they_say():
    assert (cosine(0), round(cosine(1), 12), constant(0.3)) == (1, 0, 1)
    assert one_cycle(0) == pytest.approx(0.1) and one_cycle(0.25) == 1 and one_cycle(1) == pytest.approx(0)
    assert all(one_cycle(x / 100) <= 1 for x in range(101))


def test_a_run_from_another_kind_of_device_gives_its_weights():
    """A CUDA stream is saved in 16 bytes that no CPU stream takes; predict and export rebuild on the CPU."""
    trained, rebuilt = mlp.build(SETUP), mlp.build(replace(SETUP, seed=1))
    trained.step(0)
    before = rebuilt.noise.get_state()
    rebuilt.restore({**trained.state(), "noise": torch.zeros(16, dtype=torch.uint8)})
    assert torch.equal(rebuilt.noise.get_state(), before)
    for ours, theirs in zip(rebuilt.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_empty_test_part_has_no_pictures(tmp_path):
    save_description(open_data("digits").about, tmp_path / "data.json")
    program = mlp.build(replace(SETUP, data=f"described:{tmp_path / 'data.json'}"))
    assert program.evaluate("test") == program.pictures() == {}


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": -5}, {"lr": -1.0}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        mlp.build(replace(SETUP, **wrong))
