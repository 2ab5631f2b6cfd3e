"""Every rule that torch lacks ends at the bottom of a bowl of condition number 100 and goes down a curved valley."""

import pytest
import torch

from shinso.optim.adagrad_da import AdagradDA
from shinso.optim.adasecant import AdaSecant
from shinso.optim.eve import Eve
from shinso.optim.ftrl import FTRL
from shinso.optim.gd_by_gd import GDByGD
from shinso.optim.lion import Lion
from shinso.optim.muon import Muon
from shinso.optim.proximal_adagrad import ProximalAdagrad
from shinso.optim.proximal_gd import ProximalGD
from shinso.optim.rmsprop_graves import RMSpropGraves
from shinso.optim.santa import Santa
from shinso.optim.schedule_free import ScheduleFree
from shinso.optim.smorms3 import SMORMS3
from shinso.optim.soap import SOAP

COLD = {"schedule": (1e6, 0.5, 100), "preconditioner": (0.99, 1.0), "friction": 3.0}
RULES = [  # rule, options for the bowl, options for the valley
    (RMSpropGraves, {"lr": 1e-3}, {"lr": 1e-4}),
    (SMORMS3, {"lr": 0.01}, {"lr": 0.01}),
    (Lion, {"lr": 1e-3}, {"lr": 1e-3}),
    (ProximalGD, {"lr": 0.01}, {"lr": 1e-3}),
    (ProximalAdagrad, {"lr": 0.5}, {"lr": 0.1}),
    (FTRL, {"lr": 0.5}, {"lr": 0.1}),
    (AdagradDA, {"lr": 0.5, "centred": True}, {"lr": 0.1, "centred": True}),
    (Eve, {"lr": 0.01}, {"lr": 0.01}),
    (Santa, {"lr": 0.01, **COLD}, {"lr": 0.001, **COLD}),
    (AdaSecant, {}, {}),
    (Muon, {"lr": 0.01}, {"lr": 0.01}),
    (SOAP, {"lr": 0.01}, {"lr": 0.01}),
    (ScheduleFree, {"lr": 0.1}, {"lr": 0.1}),
    (GDByGD, {"lr": 0.1}, {"lr": 0.1}),
]


def bowl(w):
    return (w[0] ** 2 + 100 * w[1] ** 2) / 2


def valley(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def last_loss(rule, options, function, start, steps=2000):
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimiser = rule([w], **options)

    def closure():
        optimiser.zero_grad()
        loss = function(w)
        loss.backward()
        return loss

    for _ in range(steps):
        optimiser.step(closure)
    return function(w).item()


@pytest.mark.parametrize(("rule", "options", "_"), RULES)
def test_the_bottom_of_the_bowl_is_reached(rule, options, _):
    assert last_loss(rule, options, bowl, [1.0, 1.0]) < 1e-3


@pytest.mark.parametrize(("rule", "_", "options"), RULES)
def test_the_valley_is_gone_down(rule, _, options):
    """From (-1.2, 1), where Rosenbrock's function is 24.2, to a sixth of it at least."""
    assert last_loss(rule, options, valley, [-1.2, 1.0]) < 24.2 / 6


@pytest.mark.parametrize("rule", [rule for rule, _, _ in RULES])
def test_a_sparse_gradient_is_refused(rule):
    w = torch.zeros(3, requires_grad=True)
    w.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="sparse gradients"):
        rule([w]).step(lambda: 1.0)


@pytest.mark.parametrize("rule", [rule for rule, _, _ in RULES])
def test_float32_weights_stay_float32_and_move(rule):
    w = torch.linspace(-1, 1, 7).requires_grad_()
    w.grad = torch.linspace(1, 2, 7)
    before = w.detach().clone()
    optimiser = rule([w], lr=0.1)
    for _ in range(3):
        optimiser.step(lambda: 1.0)
    assert w.dtype == torch.float32 and w.isfinite().all() and not torch.equal(w, before)
    states = [value for value in optimiser.state[w].values() if value.dim()] if w in optimiser.state else []
    assert all(value.dtype == torch.float32 for value in states)
