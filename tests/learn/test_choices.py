"""A setup's names become an optimiser and a schedule, and a name that will not do is refused in one sentence."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from shinso.core.errors import UserError
from shinso.learn.choices import SCHEDULES, optimiser
from shinso.optim.adam import Adam
from shinso.optim.lion import Lion


def test_a_name_is_a_method_at_the_rate_asked_for():
    model = nn.Linear(2, 2)
    adam, lion = (optimiser(name, model, 0.01, "cpu") for name in ("adam", "lion"))
    assert type(adam) is Adam and type(lion) is Lion
    assert adam.param_groups[0]["lr"] == lion.param_groups[0]["lr"] == 0.01
    assert adam.param_groups[0]["fused"] and not optimiser("adam", model, 0.01, "mps").param_groups[0]["fused"]


@pytest.mark.parametrize(("name", "said"), [("lyon", "did you mean lion"), ("newton", "second derivatives"),
                                            ("ema", "no method 'ema'"), ("_lean", "no method '_lean'")])
def test_what_will_not_do_is_refused(name, said):
    with pytest.raises(UserError, match=said):
        optimiser(name, nn.Linear(2, 2), 0.01, "cpu")


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_between_nothing_and_one(name):
    schedule = SCHEDULES[name] or (lambda progress: 1.0)
    factors = [schedule(t / 1000) for t in range(1000)]
    assert 0 < min(factors) and max(factors) <= 1 and max(factors) > 0.99
    assert name == "constant" or factors[-1] < 0.02


def test_only_the_method_that_was_chosen_is_imported():
    program = ("import sys; from shinso.basics import mlp; from dataclasses import replace; "
               "mlp.build(replace(mlp.VARIANTS['xor'], optimiser='rprop')); "
               "print([n for n in ('lion', 'muon', 'santa', 'rprop') if f'shinso.optim.{n}' in sys.modules])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['rprop']"


def test_a_step_of_a_chosen_method_lowers_a_loss():
    model = nn.Linear(3, 1)
    rule = optimiser("rprop", model, 0.01, "cpu")
    x, losses = torch.randn(50, 3), []
    for _ in range(20):
        rule.zero_grad()
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        loss.backward()
        rule.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_a_method_that_takes_a_model_gets_it_and_one_that_cannot_hold_it_says_so():
    model = nn.Linear(4, 3)
    kfac = optimiser("kfac", model, 0.1, "cpu")
    nn.functional.cross_entropy(model(torch.eye(4)), torch.tensor([0, 1, 2, 0])).backward()
    kfac.step()
    assert "activations" in kfac.state[model.weight]
    with pytest.raises(UserError, match="30200 weights are too many"):
        optimiser("bfgs", nn.Linear(150, 200), 1.0, "cpu")
