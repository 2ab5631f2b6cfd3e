"""The form for CUDA, run on the CPU by the same compiler: equal to the plain form, whatever the number of entries."""

import shutil
from itertools import chain

import pytest
import torch

from shinso.kernels import elementwise, elementwise_compiled
from shinso.kernels.elementwise import Places, form, update_plain
from shinso.optim._adam import AbstractAdam
from shinso.optim.adamw import AdamW
from shinso.optim.lion import Lion


@pytest.fixture
def compiler():
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("torch's compiler needs a C++ compiler on the CPU, and there is none")


def columns(states, shapes, dtype):
    """Weights, gradients and states, each laid end to end."""
    draw, total = torch.Generator().manual_seed(0), sum(torch.Size(shape).numel() for shape in shapes)
    made = []
    for _ in range(2 + states):
        buffer, start, views = torch.rand(total, generator=draw, dtype=dtype), 0, []
        for shape in shapes:
            views.append(buffer[start : start + torch.Size(shape).numel()].view(shape))
            start += views[-1].numel()
        made.append(views)
    return made


RULES = [(AbstractAdam.rule, 2, (0.9, 0.1, 0.99, 0.01, 1e-2, 1e-8, 0.999)),
         (Lion.rule, 1, (1e-2, 0.999, 0.9, 0.1, 0.99, 0.01))]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own imports
@pytest.mark.parametrize(("rule", "states", "numbers"), RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_plain_form(rule, states, numbers, dtype, compiler):
    for shapes in ([(3, 5), (7,)], [(1000, 33), (4,), (2, 2)]):
        ours = columns(states, shapes, dtype)
        theirs = [[t.clone() for t in column] for column in ours]
        places = Places(keeps=True)
        assert places.find(ours) and len(places.sizes) == 1
        for turn in ((1.0, 0.0), (-1.0, 0.1)):
            elementwise_compiled.run(rule, places, ours, numbers, turn)
            update_plain(rule, theirs, numbers, turn)
        for mine, other in zip(chain(*ours), chain(*theirs), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-7)


def test_rows_are_vectors_over_the_same_memory():
    made = columns(1, [(2, 3), (4,)], torch.float32)
    places = Places()
    assert places.find(made)
    ((w, g, s),) = places.vectors(made)
    assert w.shape == g.shape == s.shape == (10,)
    w.zero_()
    assert all(not weight.any() for weight in made[0])


def test_who_takes_it():
    """Tensors laid end to end on CUDA; nothing on devices that nobody has tried."""
    assert form(torch.device("cuda"), flat=True) is elementwise_compiled
    assert form(torch.device("cuda"), flat=False) is None and form(torch.device("mps"), flat=True) is None
    assert form(torch.device("cpu"), flat=False) is elementwise.native("elementwise")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_flat_step_on_cuda_is_torchs():
    weights = [torch.randn(n, device="cuda", requires_grad=True) for n in (5, 70, 1000)]
    twins = [w.detach().clone().requires_grad_() for w in weights]
    ours, theirs = AdamW(weights, lr=0.01).flatten(), torch.optim.AdamW(twins, lr=0.01)
    for _ in range(20):
        for optimiser, some in ((ours, weights), (theirs, twins)):
            optimiser.zero_grad()
            sum(w.sin().sum() for w in some).backward()
            optimiser.step()
    for mine, other in zip(weights, twins, strict=True):
        torch.testing.assert_close(mine, other)
