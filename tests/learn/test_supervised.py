"""Supervised training equals the loop anyone would write, resumes exactly, and names the layer that breaks."""

import copy
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
from shinso.learn.supervised import Plan, Supervised
from shinso.optim.adam import Adam

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


@pytest.mark.parametrize("changes", [{"ema": 0.9}, {"optimiser": "lion"}, {"optimiser": "lbfgs", "lr": 0.1},
                                     {"ema": 0.9, "optimiser": "eve", "schedule": "one_cycle"}])
@pytest.mark.parametrize("k", [1, 9])
def test_averages_and_methods_that_ask_resume_bit_identical(changes, k):
    setup = replace(mlp.VARIANTS["smoke"], epochs=1, batch_size=100, **changes)
    whole, first, second = (mlp.build(setup) for _ in range(3))
    rows = [float(row.record["loss"]) for row in run(whole)]
    for _, _ in zip(range(k), run(first), strict=False):
        pass
    second.restore(copy.deepcopy(first.state()))
    assert [float(row.record["loss"]) for row in run(second, start=k)] == rows[k:]
    assert second.evaluate("validation") == whole.evaluate("validation")
    for ours, theirs in zip(second.networks()["model"].parameters(), whole.networks()["model"].parameters(),
                            strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_judged_drawn_and_exported_is_the_average():
    program = mlp.build(replace(SETUP, ema=0.9))
    copies = []
    for _, _ in zip(range(20), run(program), strict=False):
        copies.append(program.model.layers[1].weight.detach().clone())
    average = copies[0]
    for weight in copies[1:]:
        average = 0.9 * average + 0.1 * weight
    shown = program.networks()["model"]
    torch.testing.assert_close(shown.layers[1].weight, average, rtol=1e-5, atol=1e-6)
    judged = program.evaluate("test")
    program.model.load_state_dict(shown.state_dict())
    program.shown = program.model
    assert program.evaluate("test") == judged
    assert program.networks()["model"] is not shown


def test_without_an_average_nothing_is_copied():
    program = mlp.build(SETUP)
    assert program.ema is None and program.networks()["model"] is program.model and "ema" not in program.state()


@pytest.mark.parametrize("ema", [1.0, 2.0, -0.5])
def test_a_decay_that_averages_nothing_is_refused(ema):
    with pytest.raises(UserError, match="ema"):
        mlp.build(replace(SETUP, ema=ema))


def test_a_method_that_asks_gets_the_same_loss_for_the_same_weights():
    """Noise in the objective is the same at every call within a step, and another one at the next step."""
    def noisy(model, batch, noise):
        return {"loss": F.cross_entropy(model(batch[0]) * torch.rand(1, generator=noise), batch[1])}

    class Asking(torch.optim.SGD):
        def step(self, closure):
            told.append([float(closure()), float(closure())])

    told = []
    model = mlp.MLP((784, 10))
    program = Supervised(model, Asking(model.parameters(), lr=0.0), replace(CLASSIFY, objective=noisy),
                         open_data("digits"), Plan(epochs=1, batch_size=100, seed=0, closure=True, clip=1.0), Place())
    records = [float(program.step(i)["loss"]) for i in range(3)]
    assert all(first == second for first, second in told) and records == [first for first, _ in told]
    assert len(set(records)) == 3


def test_a_method_with_a_place_of_its_own_is_judged_there():
    class Elsewhere(torch.optim.SGD):
        def eval(self):
            moves.append("eval")

        def train(self):
            moves.append("train")

    moves = []
    model = mlp.MLP((784, 10))
    program = Supervised(model, Elsewhere(model.parameters(), lr=0.0), CLASSIFY, open_data("digits"),
                         Plan(epochs=1, batch_size=100, seed=0), Place())
    program.evaluate("test")
    assert moves == ["eval", "train"]


def test_a_poisoned_input_does_not_reach_the_weights_of_a_method_that_asks():
    program = mlp.build(replace(mlp.VARIANTS["xor"], epochs=2, optimiser="lion"))
    program.data.train.inputs[7, 0] = float("nan")
    with pytest.raises(Diverged, match="first bad tensor: input, rows"):
        list(run(program, Watch()))
    assert all(weight.isfinite().all() for weight in program.model.parameters())


@pytest.mark.parametrize(("options", "flat"), [({"fused": True}, False), ({}, True)])
def test_weights_lie_end_to_end_where_no_fused_call_does_it_all(options, flat):
    """And the program saves, goes on and learns as before: the contracts of all systems run over both."""
    task, data = CLASSIFY, open_data("digits")
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimiser = Adam(model.parameters(), lr=0.01, **options)
    program = Supervised(model, optimiser, task, data, Plan(epochs=1, batch_size=64, seed=0), Place())
    losses = [float(program.step(i)["loss"]) for i in range(20)]
    assert optimiser.flat is flat and losses[-1] < losses[0]
    places = [w.data_ptr() for w in model.parameters()]
    assert (places[1] - places[0] == 4 * 7840) or not flat
