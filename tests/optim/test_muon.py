"""Muon is torch's in float64 where both have an option, its matrices go in batches, vectors are AdamW's."""

import copy

import numpy as np
import pytest
import torch
from streams import goes_on, is_used_as_torch_uses_it
from torch import nn

from shinso.optim import muon
from shinso.optim.muon import CUBIC, Muon, orthogonalised, schulz


@pytest.fixture
def torch_in_full_precision(monkeypatch):
    """torch casts to bfloat16 before (2), whatever the weights are; here the cast does nothing."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())


def matrices(dtype=torch.float64):
    draw = np.random.default_rng(0)
    shapes = [(3, 4), (4, 3), (3, 4), (5, 5), (2, 30), (30, 2), (1, 1)]
    found = [nn.Parameter(torch.tensor(draw.normal(size=shape), dtype=dtype)) for shape in shapes]
    found[1] = nn.Parameter(found[1].detach().t().contiguous().t())
    return found


def give(weights, i):
    draw = np.random.default_rng(i)
    for k, w in enumerate(weights):
        w.grad = (0.3 + k) * w.detach() + torch.tensor(draw.normal(size=w.shape)).to(w)


@pytest.mark.parametrize("options", [
    {}, {"lr": 0.02, "weight_decay": 0.0}, {"momentum": 0.0}, {"nesterov": False}, {"adjust_lr_fn": "original"},
    {"ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)}, {"adjust_lr_fn": None, "ns_steps": 0}, {"ns_steps": 1},
])
@pytest.mark.parametrize("batched", [True, False])
def test_three_hundred_steps_are_torchs(options, batched, torch_in_full_precision, monkeypatch):
    monkeypatch.setattr(muon, "_SMALL", 10**6 if batched else 0)
    options = {"adjust_lr_fn": "match_rms_adamw", **options}
    mine, theirs = matrices(), matrices()
    ours, other = Muon(mine, **options), torch.optim.Muon(theirs, **options)
    for i in range(300):
        give(mine, i)
        for a, b in zip(mine, theirs, strict=True):
            b.grad = a.grad.clone()
        ours.step()
        other.step()
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_in_bfloat16_it_is_torchs_up_to_that_types_rounding():
    mine, theirs = matrices(torch.float32), matrices(torch.float32)
    give(mine, 0)
    for a, b in zip(mine, theirs, strict=True):
        b.grad = a.grad.clone()
    ours = Muon([{"params": mine, "ns_bfloat16": True}], lr=1.0, adjust_lr_fn=None)
    ours.step()
    torch.optim.Muon(theirs, lr=1.0).step()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.1)
    exact = matrices(torch.float32)
    give(exact, 0)
    Muon(exact, lr=1.0, adjust_lr_fn=None).step()
    assert not all(torch.equal(a, b) for a, b in zip(exact, mine, strict=True))


def test_a_state_of_torchs_goes_on_here(torch_in_full_precision):
    theirs = matrices()
    other = torch.optim.Muon(theirs)
    give(theirs, 0)
    other.step()
    mine = copy.deepcopy(theirs)
    ours = Muon(mine, lr=7.0)
    ours.load_state_dict(copy.deepcopy(other.state_dict()))
    give(theirs, 1)
    give(mine, 1)
    other.step()
    ours.step()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 50), (50, 6), (3, 6, 50), (7, 7), (1, 9), (4, 8, 8)])
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_the_short_way_over_the_gram_matrix_is_the_long_one(shape, steps, monkeypatch):
    X = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    found, U = orthogonalised(X, steps=steps), X / X.norm(dim=(-2, -1), keepdim=True)
    for _ in range(steps):
        U = 3.4445 * U - 4.7750 * U @ U.mT @ U + 2.0315 * U @ U.mT @ U @ U.mT @ U
    torch.testing.assert_close(found, U, rtol=1e-12, atol=1e-12)


def test_a_long_iteration_takes_the_long_way():
    """The errors of the short way would have grown by 1.5^120."""
    X = torch.from_numpy(np.random.default_rng(0).normal(size=(6, 60)))
    found = orthogonalised(X, CUBIC, 60)
    torch.testing.assert_close(found @ found.T, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-12)


def test_in_float32_the_short_way_keeps_four_digits_of_an_ill_conditioned_matrix():
    draw = np.random.default_rng(0)
    U, V = (torch.from_numpy(np.linalg.qr(draw.normal(size=(n, 40)))[0]) for n in (40, 200))
    X = (U * torch.logspace(0, -8, 40, dtype=torch.float64)) @ V.T / 2
    torch.testing.assert_close(schulz(X.float()).double(), schulz(X), rtol=0, atol=1e-3)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.conv, self.line, self.head = nn.Conv2d(2, 3, 2), nn.Linear(4, 4), nn.Linear(4, 2)


def test_one_line_gives_vectors_to_adamw_and_kernels_to_muon():
    torch.manual_seed(0)
    net = Net().double()
    other = copy.deepcopy(net)
    vectors = [p for p in other.parameters() if p.dim() == 1]
    mine = Muon(net.parameters(), lr=0.01)
    adamw = torch.optim.AdamW(vectors, lr=0.01, weight_decay=0.1, betas=(0.9, 0.95))
    before = copy.deepcopy(net.conv.weight.detach())
    for i in range(5):
        give(list(net.parameters()), i)
        for a, b in zip(net.parameters(), other.parameters(), strict=True):
            b.grad = a.grad.clone()
        mine.step()
        adamw.step()
        if i == 0:
            first = net.conv.weight.grad
            move = (0.999 * before - net.conv.weight.detach()).flatten(1) / (0.01 * 0.2 * 8**0.5)
            torch.testing.assert_close(move, orthogonalised(first.flatten(1)), rtol=1e-10, atol=1e-10)
    for a, b in zip((p for p in net.parameters() if p.dim() == 1), vectors, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_groups_say_who_is_adamws():
    torch.manual_seed(0)
    net = Net()
    others = [*net.embedding.parameters(), *net.head.parameters()]
    optimiser = Muon([{"params": [net.line.weight], "use_muon": True}, {"params": others, "use_muon": False}])
    give(list(net.parameters()), 0)
    optimiser.step()
    assert set(optimiser.state[net.line.weight]) == {"momentum_buffer"}
    assert all(set(optimiser.state[w]) == {"step", "exp_avg", "exp_avg_sq"} for w in others)
    with pytest.raises(ValueError, match=r"Invalid use_muon: a weight of shape \(4,\)"):
        Muon([{"params": [net.line.bias], "use_muon": True}])


def test_maximize_goes_the_other_way():
    moves = []
    for maximize in (False, True):
        pair = [nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(3))]
        optimiser = Muon([{"params": pair, "maximize": maximize}])
        give(pair, 0)
        optimiser.step()
        moves.append([w.detach() for w in pair])
    assert all(torch.equal(a, -b) and a.abs().max() > 0 for a, b in zip(*moves, strict=True))


def test_a_gradient_of_zero_moves_nothing_and_gives_no_nan():
    w = nn.Parameter(torch.ones(3, 4))
    w.grad = torch.zeros(3, 4)
    Muon([w], weight_decay=0.0).step()
    assert torch.equal(w, torch.ones(3, 4))


def test_it_goes_on_where_it_was_saved():
    goes_on(Muon, {"lr": 0.01})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(Muon, {"lr": 0.01})
    assert isinstance(Muon([torch.zeros(2, requires_grad=True)]), torch.optim.Muon)


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ({"momentum": -1}, "Invalid momentum value: -1"), ({"ns_steps": 100}, "Invalid ns_steps value: 100"),
    ({"ns_coefficients": (1, 2)}, "Invalid ns_coefficients"), ({"adjust_lr_fn": "x"}, "Adjust .* x is not supported"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        Muon([torch.zeros(2, 2, requires_grad=True)], **options)


def test_sparse_gradients_and_complex_weights_are_refused():
    w = torch.zeros(2, 2, requires_grad=True)
    w.grad = torch.zeros(2, 2).to_sparse()
    with pytest.raises(RuntimeError, match="Muon does not support sparse gradients"):
        Muon([w]).step()
    z = torch.zeros(2, 2, dtype=torch.complex64, requires_grad=True)
    z.grad = torch.zeros_like(z)
    with pytest.raises(RuntimeError, match="Muon does not support complex parameters"):
        Muon([z]).step()
