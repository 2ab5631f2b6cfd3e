"""What every method that asks a closure for the loss must do: go down a valley, go on where it was saved, complain."""

import copy
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from shinso.engine import checkpoint


def valley(x, y):
    return 100 * (y - x**2) ** 2 + (1 - x) ** 2


def closure_of(optimiser, loss, graph):
    def closure():
        optimiser.zero_grad()
        value = loss()
        value.backward(create_graph=graph)
        return value

    return closure


def steps_down_the_valley(rule, options, dtype=torch.float64, most=500, graph=False):
    """Steps from (-1.2, 1), two weights, until Rosenbrock's function is below 1e-8, and the calls of the closure."""
    x, y = (nn.Parameter(torch.tensor([v], dtype=dtype)) for v in (-1.2, 1.0))
    optimiser = rule([x, y], **options)
    calls, closure = [], closure_of(optimiser, lambda: valley(x, y).sum(), graph)
    for step in range(1, most + 1):
        optimiser.step(lambda: calls.append(1) or closure())
        if valley(x, y).item() < 1e-8:
            assert x.dtype == y.dtype == dtype
            return step, len(calls)
    raise AssertionError(f"{valley(x, y).item()} after {most} steps")


def net(dtype=torch.float64, seed=0):
    """A small net, its inputs and targets; one of its weights lies transposed in memory."""
    draw = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    with torch.no_grad():
        for w in model.parameters():
            w.copy_(0.5 * torch.randn(w.shape, generator=draw, dtype=torch.float64))
    model[0].weight = nn.Parameter(model[0].weight.detach().t().contiguous().t())
    x, y = (torch.randn(20, size, generator=draw, dtype=torch.float64).to(dtype) for size in (3, 2))
    return model, x, y


def trained(make, steps, dtype=torch.float64, graph=False, model=None, state=None):
    """`make(model)` makes the optimiser; returns model, optimiser, and the losses before each of the steps."""
    fresh, x, y = net(dtype)
    model = fresh if model is None else model
    optimiser, losses = make(model), []
    if state is not None:
        optimiser.load_state_dict(copy.deepcopy(state))
    closure = closure_of(optimiser, lambda: (model(x) - y).square().sum() / 40, graph)
    for _ in range(steps):
        losses.append(optimiser.step(closure).item())
    return model, optimiser, losses


def goes_on_exactly(make, graph=False):
    """10 steps, saved into a fresh optimiser, 10 more: bit for bit the 20 of a run that was not interrupted."""
    whole, _, losses = trained(make, 20, graph=graph)
    first, begun, _ = trained(make, 10, graph=graph)
    second, _, rest = trained(make, 10, graph=graph, model=copy.deepcopy(first), state=begun.state_dict())
    assert rest == losses[10:]
    assert losses[-1] < losses[0]
    for a, b, c in zip(whole.parameters(), second.parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
    plain(begun.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), 10, {"optimiser": begun.state_dict()})
        read = checkpoint.load(Path(folder)).state["optimiser"]
    third, _, rest = trained(make, 10, graph=graph, model=copy.deepcopy(first), state=read)
    assert rest == losses[10:] and all(map(torch.equal, whole.parameters(), third.parameters()))


def plain(tree):
    """Nested dict, list, tuple of tensors without graphs and plain numbers."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            assert isinstance(key, (str, int))
            plain(value)
    elif isinstance(tree, (list, tuple)):
        for value in tree:
            plain(value)
    elif isinstance(tree, torch.Tensor):
        assert not tree.requires_grad and tree.grad_fn is None
    else:
        assert tree is None or isinstance(tree, (int, float, bool, str))


def keeps_its_house(make, dtype=torch.float32, graph=False):
    """Trains a net of float32 with a transposed weight; leaves no graph behind and no memory layout changed."""
    model, optimiser, losses = trained(make, 5, dtype, graph)
    assert losses[-1] < losses[0]
    for w in model.parameters():
        assert w.dtype == dtype and w.isfinite().all() and w.grad is not None and not w.grad.requires_grad
    assert not model[0].weight.is_contiguous()
    for state in optimiser.state.values():
        assert all(v.dtype == dtype for v in state.values() if isinstance(v, torch.Tensor) and v.is_floating_point())


def climbs(rule, options, graph=False):
    """With maximize the mirrored function is walked by the same steps."""
    ends = []
    for sign in (1, -1):
        w = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
        optimiser = rule([w], maximize=sign < 0, **options)
        closure = closure_of(optimiser, lambda w=w, sign=sign: sign * valley(*w), graph)
        for _ in range(5):
            optimiser.step(closure)
        ends.append(w.detach())
    assert torch.equal(*ends) and not torch.equal(ends[0], torch.tensor([-1.2, 1.0], dtype=torch.float64))


def refuses(rule, name):
    """A second group, sparse gradients, complex weights, and a weight that no loss reached does no harm."""
    pair = [torch.zeros(2, requires_grad=True) for _ in range(2)]
    with pytest.raises(ValueError, match=f"{name} doesn't support per-parameter options"):
        rule([{"params": [pair[0]]}, {"params": [pair[1]]}])
    pair[0].grad = torch.ones(2).to_sparse()
    with pytest.raises(RuntimeError, match=f"{name} does not support sparse gradients"):
        rule([pair[0]]).step()
    twisted = torch.zeros(2, dtype=torch.complex64, requires_grad=True)
    twisted.grad = torch.ones_like(twisted)
    with pytest.raises(RuntimeError, match=f"{name} does not support complex parameters"):
        rule([twisted]).step()


def a_weight_without_gradient_stays(rule, options, graph=False):
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimiser = rule([used, unused], **options)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=0.5)
    optimiser.step(closure_of(optimiser, lambda: (used - 4).square().sum() + used.pow(4).sum(), graph))
    schedule.step()
    assert torch.equal(unused, torch.ones(2)) and not torch.equal(used, torch.ones(2))
    assert optimiser.param_groups[0]["lr"] == 0.5 * optimiser.defaults["lr"]
