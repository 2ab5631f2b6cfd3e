"""SOAP equals Algorithm 3 of Vyas et al. 2024 with the boundary effects of AdamW, in batches and alone, and goes on."""

import copy

import numpy as np
import pytest
import torch
from streams import goes_on, is_used_as_torch_uses_it
from torch import nn

from shinso.optim.soap import SOAP

SHAPES = [(3, 4), (5, 5), (3, 4), (4, 3), (5, 2, 2), (2, 1), (6,), ()]
"""the null space of the first gradient has one dimension at most, so that its eigenvectors are unique but for signs"""


def algorithm_3(W, lr, betas, eps, weight_decay, frequency, most):
    """Lines 1 to 18 for one matrix, M in its own axes as printed; bias correction, eps and decay as in AdamW.

    The first gradient makes L, R and their eigenvectors, largest first, and is not used further. Algorithm 4 has its
    columns sorted by their Rayleigh quotients before the QR, and V with them.
    """
    (m, n), (b1, b2) = W.shape, betas
    left, right = m <= most, n <= most
    G = yield W
    L, R = (1 - b2) * G @ G.T, (1 - b2) * G.T @ G
    QL = np.linalg.eigh(L)[1][:, ::-1] if left else np.eye(m)
    QR = np.linalg.eigh(R)[1][:, ::-1] if right else np.eye(n)
    M, V, t = np.zeros_like(W), np.zeros_like(W), 0
    while True:
        G, t = (yield W), t + 1
        Gp = QL.T @ G @ QR
        M = b1 * M + (1 - b1) * G
        Mp = QL.T @ M @ QR
        V = b2 * V + (1 - b2) * Gp * Gp
        N = QL @ (Mp / (1 - b1**t) / (np.sqrt(V / (1 - b2**t)) + eps)) @ QR.T
        W = W - lr * weight_decay * W - lr * N
        L, R = b2 * L + (1 - b2) * G @ G.T, b2 * R + (1 - b2) * G.T @ G
        if t % frequency == 0 and left:
            order = np.argsort(-np.diag(QL.T @ L @ QL), kind="stable")
            QL, V = np.linalg.qr(L @ QL[:, order])[0], V[order]
        if t % frequency == 0 and right:
            order = np.argsort(-np.diag(QR.T @ R @ QR), kind="stable")
            QR, V = np.linalg.qr(R @ QR[:, order])[0], V[:, order]


def adamw(W, lr, betas, eps, weight_decay, frequency, most):
    M = V = np.zeros_like(W)
    t = 0
    while True:
        G, t = (yield W), t + 1
        M, V = betas[0] * M + (1 - betas[0]) * G, betas[1] * V + (1 - betas[1]) * G * G
        W = W - lr * weight_decay * W
        W = W - lr * (M / (1 - betas[0] ** t)) / (np.sqrt(V / (1 - betas[1] ** t)) + eps)


def starts():
    draw = np.random.default_rng(0)
    return [np.asarray(draw.normal(size=shape)) for shape in SHAPES]


def noise(i, k, shape):
    return np.random.default_rng(100 * i + k).normal(size=shape)


@pytest.mark.parametrize("options", [
    {}, {"precondition_frequency": 1, "lr": 0.05}, {"precondition_frequency": 3, "betas": (0.9, 0.8), "eps": 1e-4},
    {"max_dimension": 3, "lr": 0.02, "weight_decay": 0.0}, {"max_dimension": 4, "precondition_frequency": 7},
    {"max_dimension": 0},
])
def test_three_hundred_steps_equal_the_papers(options):
    given = {"lr": 3e-3, "betas": (0.95, 0.95), "eps": 1e-8, "weight_decay": 0.01,
             "precondition_frequency": 10, "max_dimension": 10_000} | options
    order = [given[name] for name in ("lr", "betas", "eps", "weight_decay", "precondition_frequency", "max_dimension")]
    weights = [nn.Parameter(torch.tensor(w)) for w in starts()]
    weights[3] = nn.Parameter(weights[3].detach().t().contiguous().t())
    references = []
    for w in starts():
        matrix = w.reshape(len(w), -1) if w.ndim > 1 else None
        kind = adamw if matrix is None or min(matrix.shape) > order[5] else algorithm_3
        references.append(kind(w if matrix is None else matrix, *order))
    expected = [next(reference) for reference in references]
    optimiser = SOAP(weights, **options)
    for i in range(300):
        for k, (w, reference) in enumerate(zip(weights, references, strict=True)):
            shape = expected[k].shape
            gradient = (0.2 + k) * expected[k] + noise(i, k, shape)
            w.grad = torch.tensor((0.2 + k) * w.detach().numpy().reshape(shape) + noise(i, k, shape)).reshape(w.shape)
            expected[k] = reference.send(gradient)
        optimiser.step()
        for w, other in zip(weights, expected, strict=True):
            np.testing.assert_allclose(w.detach().numpy().reshape(other.shape), other, rtol=1e-9, atol=1e-9)


def give(weights, i):
    for k, w in enumerate(weights):
        w.grad = w.detach() + torch.tensor(noise(i, k, tuple(w.shape))).to(w)


def test_weights_of_one_shape_walk_together_as_alone():
    together, alone = ([nn.Parameter(torch.tensor(w)) for w in starts()[:3]] for _ in range(2))
    one, others = SOAP(together), [SOAP([w]) for w in alone]
    for i in range(25):
        for weights in (together, alone):
            give(weights, i)
        one.step()
        for other in others:
            other.step()
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_weight_that_begins_later_keeps_its_own_time():
    pair = [nn.Parameter(torch.ones(3, 4)) for _ in range(2)]
    optimiser = SOAP(pair)
    for i in range(15):
        give(pair, i)
        if i < 4:
            pair[1].grad = None
        optimiser.step()
    assert [float(optimiser.state[w]["step"]) for w in pair] == [14.0, 10.0]
    assert not torch.equal(pair[1], torch.ones(3, 4))


def test_the_first_gradient_moves_no_matrix_and_rounding_errors_never_make_a_step():
    w = nn.Parameter(torch.zeros(3, 4, dtype=torch.float64))
    w.grad = torch.tensor(noise(0, 0, (3, 4)))
    optimiser = SOAP([w])
    optimiser.step()
    assert torch.equal(w, torch.zeros(3, 4, dtype=torch.float64))
    assert set(optimiser.state[w]) == {"step", "exp_avg", "exp_avg_sq", "gram_left", "gram_right", "basis_left",
                                       "basis_right"}


def test_bases_stay_orthogonal_and_find_the_eigenvectors():
    draw = np.random.default_rng(0)
    U, V = (torch.from_numpy(np.linalg.qr(draw.normal(size=(n, n)))[0]) for n in (5, 4))
    w = nn.Parameter(torch.zeros(5, 4, dtype=torch.float64))
    scale = torch.logspace(0, -2, 5, dtype=torch.float64)[:, None] * torch.logspace(0, -1, 4, dtype=torch.float64)
    optimiser = SOAP([w], betas=(0.9, 0.999), precondition_frequency=5)
    for _ in range(3000):
        w.grad = U @ (scale * torch.from_numpy(draw.normal(size=(5, 4)))) @ V.T
        optimiser.step()
    for name, true in (("basis_left", U), ("basis_right", V)):
        Q = optimiser.state[w][name]
        torch.testing.assert_close(Q.T @ Q, torch.eye(len(Q), dtype=Q.dtype), rtol=0, atol=1e-12)
        assert (Q.T @ true).abs().diagonal().min() > 0.99


def test_maximize_goes_the_other_way():
    ends = []
    for maximize in (False, True):
        pair = [nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(3))]
        optimiser = SOAP(pair, maximize=maximize)
        for i in range(3):
            for k, w in enumerate(pair):
                w.grad = torch.tensor(noise(i, k, tuple(w.shape))).to(w)
            optimiser.step()
        ends.append([w.detach() for w in pair])
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, -b, rtol=1e-5, atol=1e-7)
        assert a.abs().max() > 0


def test_float32_and_empty_weights():
    pair = [nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(0, 4))]
    optimiser = SOAP(pair)
    for i in range(12):
        give(pair, i)
        optimiser.step()
    assert pair[0].dtype == torch.float32 and pair[0].isfinite().all() and not torch.equal(pair[0], torch.ones(3, 4))


@pytest.mark.parametrize("at", [1, 7, 10])
def test_it_goes_on_where_it_was_saved(at):
    goes_on(SOAP, {"lr": 0.01, "precondition_frequency": 4}, at=at)


def test_a_batch_goes_on_where_it_was_saved():
    whole, first = ([nn.Parameter(torch.tensor(w)) for w in starts()] for _ in range(2))
    one, begun = SOAP(whole, precondition_frequency=3), SOAP(first, precondition_frequency=3)
    for i in range(20):
        give(whole, i)
        one.step()
    for i in range(10):
        give(first, i)
        begun.step()
    second = copy.deepcopy(first)
    again = SOAP(second)
    again.load_state_dict(copy.deepcopy(begun.state_dict()))
    for i in range(10, 20):
        give(second, i)
        again.step()
    assert all(torch.equal(a, b) for a, b in zip(whole, second, strict=True))


def test_it_is_used_as_any_optimiser():
    w = torch.zeros(3, 4, requires_grad=True)
    w.grad = torch.ones(3, 4)

    def begun(params, **options):
        optimiser = SOAP(params, **options)
        for group in optimiser.param_groups:
            for p in group["params"]:
                p.grad = torch.ones_like(p)
        optimiser.step()
        optimiser.zero_grad()
        return optimiser

    is_used_as_torch_uses_it(begun, {"lr": 0.01})


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
    ({"eps": -1}, "Invalid epsilon value: -1"), ({"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ({"precondition_frequency": 0}, "Invalid precondition_frequency value: 0"),
    ({"max_dimension": -1}, "Invalid max_dimension value: -1"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        SOAP([torch.zeros(2, 2, requires_grad=True)], **options)


def test_sparse_gradients_are_refused():
    w = torch.zeros(2, 2, requires_grad=True)
    w.grad = torch.zeros(2, 2).to_sparse()
    with pytest.raises(RuntimeError, match="SOAP does not support sparse gradients"):
        SOAP([w]).step()
