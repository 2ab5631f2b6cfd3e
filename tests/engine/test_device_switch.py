"""One option says where a program computes: the same program runs everywhere, and all of a step is on one device."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shinso.basics import mlp
from shinso.core.place import Place
from shinso.core.record import plain
from shinso.engine import launch
from shinso.vision import lenet


class Devices(TorchDispatchMode):
    """Remembers where the results of all operations are."""

    def __init__(self):
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen |= {x.device.type for x in tree_leaves(result) if isinstance(x, torch.Tensor) and x.ndim}
        return result


@pytest.fixture
def nothing_but_a_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize("system", [mlp, lenet])
def test_the_same_program_runs_without_an_accelerator(nothing_but_a_processor, system):
    place = launch.resolve()
    assert place.device == "cpu"
    program = system.build(system.VARIANTS["smoke"], place)
    with Devices() as devices:
        loss = plain(program.step(0))["loss"]
    assert 0 < loss < 10
    assert devices.seen <= {"cpu"}


@pytest.mark.parametrize("system", [mlp, lenet])
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_every_tensor_of_a_step_is_on_the_models_device(system):
    program = system.build(system.VARIANTS["smoke"], Place(device="cuda"))
    assert {weight.device.type for weight in program.model.parameters()} == {"cuda"}
    program.step(0)
    with Devices() as devices:
        program.step(1)
    assert devices.seen == {"cuda"}


def test_a_tensor_elsewhere_is_seen():
    with Devices() as devices:
        torch.ones(3) + torch.ones(3)
        torch.ones(3, device="meta") * 2
    assert devices.seen == {"cpu", "meta"}
