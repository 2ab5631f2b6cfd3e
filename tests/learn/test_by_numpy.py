"""NumPy's gradients are torch's: one network, three engines, the same course."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from shinso.basics import mlp
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import plain
from shinso.engine.loop import run
from shinso.learn.by_numpy import ENGINES


def curve(engine: str, steps: int = 100) -> list[float]:
    """Losses of an MLP 784-32-16-10 in float64 under SGD with momentum, from one start."""
    torch.manual_seed(0)
    network = mlp.MLP((784, 32, 16, 10)).double()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    draw, losses = torch.Generator().manual_seed(1), []
    for _ in range(steps):
        inputs = torch.randn(20, 1, 28, 28, generator=draw, dtype=torch.float64)
        batch = inputs, torch.randint(10, (20,), generator=draw)
        optimiser.zero_grad()
        if engine == "torch":
            loss = F.cross_entropy(network(batch[0]), batch[1])
            loss.backward()
        else:
            loss = ENGINES[engine](network, batch, draw)["loss"]
        optimiser.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("engine", ENGINES)
def test_the_loss_curve_is_torchs(engine):
    ours, theirs = curve(engine), curve("torch")
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-10
    assert theirs[-1] != theirs[0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("hidden", [(), (8,), (8, 8)])
def test_gradients_are_torchs_in_single_precision(engine, hidden):
    torch.manual_seed(0)
    network = mlp.MLP((6, *hidden, 4))
    batch = torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 0])
    F.cross_entropy(network(batch[0]), batch[1]).backward()
    theirs = [parameter.grad.clone() for parameter in network.parameters()]
    ENGINES[engine](network, batch, torch.Generator())
    for parameter, gradient in zip(network.parameters(), theirs, strict=True):
        assert parameter.grad.dtype == torch.float32 and parameter.grad.is_contiguous()
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_with_numpy_learns_digits(engine):
    program = mlp.build(replace(mlp.VARIANTS["default"], engine=engine, epochs=6))
    for _ in run(program):
        pass
    assert plain(program.evaluate("test"))["accuracy"] > 0.95


def test_numpy_computes_on_the_cpu_alone():
    with pytest.raises(UserError, match="NumPy"):
        mlp.build(replace(mlp.VARIANTS["smoke"], engine="tape"), Place(precision="bf16"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_mnist_to_98_percent(engine, real_data):
    program = mlp.build(replace(mlp.VARIANTS["mnist"], engine=engine))
    for _ in run(program):
        pass
    accuracy = plain(program.evaluate("test"))["accuracy"]
    print(engine, accuracy)
    assert accuracy >= 0.98
