"""Our step equals torch's fused step bit for bit, keeps its state, and does not load the compiler."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from shinso.optim.adam import Adam
from shinso.optim.sgd import SGD

PAIRS = [
    (SGD, torch.optim.SGD, {"lr": 0.1}),
    (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (SGD, torch.optim.SGD, {"lr": 1e-3, "momentum": 0.5, "dampening": 0.3, "maximize": True}),
    (Adam, torch.optim.Adam, {"lr": 0.01}),
    (Adam, torch.optim.Adam, {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-4, "weight_decay": 0.1}),
    (Adam, torch.optim.Adam, {"lr": 0.01, "maximize": True}),
    (Adam, torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))


def descend(model, optimiser, steps, skip=None):
    draw = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimiser.zero_grad()
        x = torch.randn(4, 5, generator=draw)
        model(x).square().mean().backward()
        if skip is not None:
            model[skip].weight.grad = None
        optimiser.step()


@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_three_hundred_steps_are_bit_equal_to_torchs(ours, theirs, options):
    one, two = network(), network()
    first, second = ours(one.parameters(), **options, fused=True), theirs(two.parameters(), **options, fused=True)
    descend(one, first, 300)
    descend(two, second, 300)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(first.state.values(), second.state.values(), strict=True):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a if a[name] is not None)


@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_weights_without_a_gradient_stand_still_as_in_torch(ours, theirs, options):
    one, two = network(), network()
    descend(one, ours(one.parameters(), **options, fused=True), 10, skip=2)
    descend(two, theirs(two.parameters(), **options, fused=True), 10, skip=2)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS)
def test_a_state_moves_to_torch_and_back(ours, theirs, options):
    one = network()
    first = ours(one.parameters(), **options, fused=True)
    descend(one, first, 7)
    two = copy.deepcopy(one)
    second = theirs(two.parameters(), **options, fused=True)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    three = copy.deepcopy(one)
    third = ours(three.parameters(), **options, fused=True)
    third.load_state_dict(copy.deepcopy(second.state_dict()))
    for model, optimiser in ((one, first), (two, second), (three, third)):
        descend(model, optimiser, 5)
    for a, b, c in zip(one.parameters(), two.parameters(), three.parameters(), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)


@pytest.mark.parametrize("rule", [SGD, Adam])
def test_closures_hooks_schedulers_and_double_precision_work_as_in_torch(rule):
    model = network().double()
    optimiser = rule(model.parameters(), lr=0.01, fused=True)
    seen = []
    optimiser.register_step_post_hook(lambda *args: seen.append(1))
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=0.5)

    def closure():
        optimiser.zero_grad()
        loss = model(torch.ones(1, 5, dtype=torch.float64)).square().sum()
        loss.backward()
        return loss

    before = optimiser.step(closure).item()
    schedule.step()
    assert closure().item() < before and len(seen) == 1 and optimiser.param_groups[0]["lr"] == 0.005


def test_zero_grad_can_fill_instead_of_forget():
    model = network()
    optimiser = SGD(model.parameters(), lr=0.1, fused=True)
    model(torch.ones(1, 5)).sum().backward()
    optimiser.zero_grad(set_to_none=False)
    assert all(w.grad is not None and not w.grad.any() for w in model.parameters())


def test_constructing_stepping_and_saving_load_no_compiler():
    code = """if 1:
        import sys, torch
        from shinso.optim.adam import Adam
        from shinso.optim.sgd import SGD
        for rule in (Adam, SGD):
            w = torch.nn.Parameter(torch.ones(3))
            o = rule([w], lr=0.1, fused=True)
            w.grad = torch.ones(3)
            o.step(); o.zero_grad(); o.load_state_dict(o.state_dict())
        print('torch._dynamo' in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(("ours", "options"), [(Adam, {"lr": 0.01}), (SGD, {"lr": 0.01, "momentum": 0.9})])
def test_a_state_that_was_saved_in_another_memory_format_goes_on_exactly(ours, options):
    """Files hold contiguous tensors; weights in channels_last lie otherwise in memory."""
    def stepped(net, optimiser):
        optimiser.zero_grad()
        net(torch.linspace(-1, 1, 2 * 3 * 64).view(2, 3, 8, 8)).square().mean().backward()
        optimiser.step()

    torch.manual_seed(0)
    whole = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    first = ours(whole.parameters(), **options, fused=True)
    stepped(whole, first)
    again = copy.deepcopy(whole)
    second = ours(again.parameters(), **options, fused=True)
    state = copy.deepcopy(first.state_dict())
    for kept in state["state"].values():
        kept.update({k: v.contiguous() for k, v in kept.items() if isinstance(v, torch.Tensor)})
    second.load_state_dict(state)
    stepped(whole, first)
    stepped(again, second)
    assert torch.equal(whole.weight, again.weight)
