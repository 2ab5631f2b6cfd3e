"""K-FAC equals a reference in NumPy for dense layers and convolutions, and keeps torch's contract."""

import copy
import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from landscapes import closure_of, goes_on_exactly, keeps_its_house, net, trained
from streams import is_used_as_torch_uses_it
from torch import nn

from shinso.basics import mlp
from shinso.core.errors import UserError
from shinso.optim.kfac import KFAC


def expectation(z, likelihood):
    """M of one example."""
    p = np.exp(z) / np.exp(z).sum() if likelihood == "categorical" else 1 / (1 + np.exp(-z))
    m = {"categorical": np.diag(p) - np.outer(p, p), "bernoulli": np.diag(p * (1 - p)), "gaussian": np.eye(len(z))}
    return m[likelihood]


def factors(weights, x, likelihood):
    """A and S of both layers of tanh(x W1 + b1) W2 + b2, by the chain rule, example by example."""
    w1, b1, w2, b2 = weights
    a1, s1, a2, s2 = 0.0, 0.0, 0.0, 0.0
    for one in x:
        h = np.tanh(w1 @ one + b1)
        m = expectation(w2 @ h + b2, likelihood)
        back = np.diag(1 - h**2) @ w2.T
        a1, a2 = a1 + np.outer([*one, 1], [*one, 1]) / len(x), a2 + np.outer([*h, 1], [*h, 1]) / len(x)
        s1, s2 = s1 + back @ m @ back.T / len(x), s2 + m / len(x)
    return [(a1, s1), (a2, s2)]


def gradient(weights, x, y, likelihood):
    w1, b1, w2, b2 = weights
    h = np.tanh(x @ w1.T + b1)
    z = h @ w2.T + b2
    p = {"gaussian": z, "categorical": np.exp(z) / np.exp(z).sum(1, keepdims=True), "bernoulli": 1 / (1 + np.exp(-z))}
    s = (p[likelihood] - y) / len(x)
    back = s @ w2 * (1 - h**2)
    one = np.ones((len(x), 1))
    return back.T @ np.hstack([x, one]), s.T @ np.hstack([h, one])


def by_hand(weights, x, y, likelihood, options):
    """Equations (1) to (4); every step yields the weights."""
    lr, damping, (decay, every), clip = (options[name] for name in ("lr", "damping", "factors", "clip"))
    kept, inverses, step = None, None, 0
    while True:
        new, step = factors(weights, x, likelihood), step + 1
        keep = min(1 - 1 / step, decay)
        kept = new if kept is None else [tuple(keep * o + (1 - keep) * n for o, n in zip(old, one, strict=True))
                                         for old, one in zip(kept, new, strict=True)]
        if (step - 1) % every == 0:
            inverses = []
            for a, s in kept:
                pi = np.sqrt(np.trace(a) / len(a) / (np.trace(s) / len(s)))
                inverses.append((np.linalg.inv(a + pi * np.sqrt(damping) * np.eye(len(a))),
                                 np.linalg.inv(s + np.sqrt(damping) / pi * np.eye(len(s)))))
        slopes = gradient(weights, x, y, likelihood)
        moves = [s @ g @ a for g, (a, s) in zip(slopes, inverses, strict=True)]
        change = lr**2 * sum((g * v).sum() for g, v in zip(slopes, moves, strict=True))
        scale = min(1, np.sqrt(clip / change)) if clip else 1
        w1, b1, w2, b2 = weights
        (v1, v2) = moves
        weights = (w1 - lr * scale * v1[:, :-1], b1 - lr * scale * v1[:, -1],
                   w2 - lr * scale * v2[:, :-1], b2 - lr * scale * v2[:, -1])
        yield weights


LOSSES = {"gaussian": lambda z, y: 0.5 * (z - y).square().sum(1).mean(),
          "categorical": lambda z, y: -(y * z.log_softmax(1)).sum(1).mean(),
          "bernoulli": lambda z, y: nn.functional.binary_cross_entropy_with_logits(z, y, reduction="sum") / len(z)}


@pytest.mark.parametrize("clip", [None, 1e-3])
@pytest.mark.parametrize("likelihood", ["gaussian", "categorical", "bernoulli"])
def test_steps_equal_the_reference(likelihood, clip):
    model, x, y = net()
    y = y if likelihood == "gaussian" else torch.eye(2, dtype=torch.float64)[(y[:, 0] > 0).long()]
    options = {"lr": 0.2, "damping": 0.01, "factors": (0.6, 3), "clip": clip}
    optimiser = KFAC(model.parameters(), model=model, likelihood=likelihood, seed=None, **options)
    closure = closure_of(optimiser, lambda: LOSSES[likelihood](model(x), y), graph=False)
    begin = tuple(w.detach().numpy().copy() for w in model.parameters())
    reference = by_hand(begin, x.numpy(), y.numpy(), likelihood, options)
    for _, expected in zip(range(30), reference, strict=False):
        optimiser.step(closure)
        for w, value in zip(model.parameters(), expected, strict=True):
            np.testing.assert_allclose(w.detach().numpy(), value, atol=1e-10)


def test_factors_of_a_convolution_are_sums_and_means_over_its_places():
    """Grosse and Martens 2016, (19) and (31): A sums over places, S averages; place by place in NumPy."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, (2, 3), stride=(2, 1), padding=1), nn.Flatten(), nn.Linear(3 * 3 * 5, 2))
    model = model.double()
    x = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    optimiser = KFAC(model.parameters(), 0.0, model=model, likelihood="gaussian", seed=None)
    out = model[0](x)
    assert out.shape == (4, 3, 3, 5)
    model(x).sum().backward()
    optimiser.step()
    padded, back = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1))), model[2].weight.detach().numpy()
    a, s = 0.0, 0.0
    for n in range(4):
        for i in range(3):
            for j in range(5):
                patch = np.append(padded[n, :, 2 * i : 2 * i + 2, j : j + 3].ravel(), 1)
                a = a + np.outer(patch, patch) / 4
                for c in range(2):
                    at = back[c].reshape(3, 3, 5)[:, i, j]
                    s = s + np.outer(at, at) / 15 / 4
    state = optimiser.state[model[0].weight]
    np.testing.assert_allclose(state["activations"].numpy(), a, atol=1e-12)
    np.testing.assert_allclose(state["gradients"].numpy(), s, atol=1e-12)


def test_a_small_convolutional_net_learns():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3),
                          nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    x = torch.randn(64, 1, 6, 6)
    y = (x[:, 0, :3].mean((1, 2)) > x[:, 0, 3:].mean((1, 2))).long()
    optimiser = KFAC(model.parameters(), model=model)
    closure = closure_of(optimiser, lambda: nn.functional.cross_entropy(model(x), y), graph=False)
    losses = [optimiser.step(closure).item() for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]


def test_operations_in_place_after_a_layer_change_nothing():
    states = []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=inplace), nn.Linear(4, 2)).double()
        x = torch.linspace(-1, 1, 15, dtype=torch.float64).view(5, 3)
        optimiser = KFAC(model.parameters(), model=model, seed=None)
        optimiser.step(closure_of(optimiser, lambda m=model, x=x: m(x).square().mean(), graph=False))
        states.append(optimiser.state[model[0].weight]["gradients"])
    assert torch.equal(*states)


@pytest.mark.parametrize("likelihood", ["gaussian", "categorical", "bernoulli"])
def test_draws_have_the_expectation(likelihood):
    model, x, _ = net()
    found = []
    for seed in (0, None):
        optimiser = KFAC(model.parameters(), 0.0, model=model, likelihood=likelihood, seed=seed)
        for _ in range(300 if seed == 0 else 1):
            model(x)
        model(x).sum().backward()
        optimiser.step()
        found.append(torch.cat([optimiser.state[model[i].weight]["gradients"].reshape(-1) for i in (0, 2)]))
    assert (found[0] - found[1]).norm() < 0.05 * found[1].norm()


def test_draws_differ_from_step_to_step_and_not_from_run_to_run():
    runs = []
    for _ in range(2):
        _, optimiser, losses = trained(lambda m: KFAC(m.parameters(), model=m, likelihood="gaussian"), 5)
        runs.append(losses)
    assert runs[0] == runs[1]
    model, x, _ = net()
    optimiser = KFAC(model.parameters(), 0.0, model=model, likelihood="gaussian", factors=(0.0, 1))
    found = []
    for _ in range(2):
        optimiser.step(closure_of(optimiser, lambda: model(x).sum(), graph=False))
        found.append(optimiser.state[model[2].weight]["gradients"].clone())
    assert not torch.equal(*found)


def test_passes_without_gradients_and_copies_of_the_model_are_not_seen():
    model, x, _ = net()
    optimiser = KFAC(model.parameters(), model=model, likelihood="gaussian", seed=None)
    with torch.no_grad():
        model(100 * x)
    copy.deepcopy(model)(100 * x)
    model[0](100 * x)
    optimiser.step(closure_of(optimiser, lambda: model(x).sum(), graph=False))
    ones = torch.cat([x, torch.ones(20, 1, dtype=torch.float64)], 1)
    torch.testing.assert_close(optimiser.state[model[0].weight]["activations"], ones.T @ ones / 20)


def test_weights_outside_of_layers_descend_along_their_gradients():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale = nn.Linear(3, 2, bias=False), nn.Parameter(torch.ones(2))

        def forward(self, x):
            return self.layer(x) * self.scale

    model = Scaled()
    optimiser = KFAC([{"params": [model.layer.weight]}, {"params": [model.scale], "lr": 0.5}], model=model)
    optimiser.step(closure_of(optimiser, lambda: model(torch.ones(4, 3)).square().sum(), graph=False))
    torch.testing.assert_close(model.scale.detach(), 1 - 0.5 * model.scale.grad)
    assert set(optimiser.state) == {model.layer.weight}


def test_without_a_model_it_is_gradient_descent():
    ends = []
    for kind in (KFAC, torch.optim.SGD):
        w = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
        optimiser = kind([w], lr=1e-3)
        for _ in range(50):
            optimiser.step(closure_of(optimiser, lambda w=w: 100 * (w[1] - w[0] ** 2) ** 2 + (1 - w[0]) ** 2, False))
        ends.append(w.detach())
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


def test_a_layer_that_is_used_twice_is_seen_twice():
    _, x, _ = net()
    twice = nn.Sequential(nn.Linear(3, 3, bias=False).double(), nn.Tanh())
    twice = nn.Sequential(twice[0], twice[1], twice[0])
    optimiser = KFAC(twice.parameters(), 0.0, model=twice, likelihood="gaussian", seed=None)
    optimiser.step(closure_of(optimiser, lambda: twice(x).sum(), graph=False))
    h = twice[1](twice[0](x)).detach()
    torch.testing.assert_close(optimiser.state[twice[0].weight]["activations"], (x.T @ x + h.T @ h) / 20)


def test_it_goes_on_where_it_was_saved():
    goes_on_exactly(lambda m: KFAC(m.parameters(), model=m, likelihood="gaussian", factors=(0.9, 4)))


def test_float32_and_weights_that_are_not_contiguous():
    keeps_its_house(lambda m: KFAC(m.parameters(), model=m, likelihood="gaussian"))


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(KFAC, {"lr": 0.1})


def test_the_model_does_not_keep_it_alive():
    model, x, _ = net()
    optimiser = weakref.ref(KFAC(model.parameters(), model=model))
    gc.collect()
    assert optimiser() is None
    model(x).sum().backward()


def test_outputs_of_other_shapes_and_sparse_gradients_are_refused():
    model = nn.Linear(3, 2)
    optimiser = KFAC(model.parameters(), model=model)
    with pytest.raises(RuntimeError, match=r"one tensor of shape \(batch, outputs\)"):
        model(torch.zeros(3))
    w = torch.zeros(3, requires_grad=True)
    w.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="KFAC does not support sparse gradients"):
        KFAC([w]).step()
    assert optimiser.step() is None


@pytest.mark.parametrize(("options", "message"), [
    ({"lr": -1}, "Invalid learning rate: -1"), ({"likelihood": "poisson"}, "Invalid likelihood: poisson"),
    ({"damping": 0}, "Invalid damping value: 0"), ({"factors": (1.0, 10)}, "Invalid factors"),
    ({"clip": 0}, "Invalid clip value: 0"),
])
def test_impossible_options_are_refused_in_torchs_words(options, message):
    with pytest.raises(ValueError, match=message):
        KFAC([torch.zeros(2, requires_grad=True)], **options)


def test_a_pass_that_broke_off_is_forgotten():
    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.whole = nn.Linear(3, 2, bias=False), False

        def forward(self, x):
            found = self.layer(input=x)
            if not self.whole:
                raise KeyError("broken off")
            return found

    model, x = Fragile(), torch.arange(12.0).view(4, 3)
    optimiser = KFAC(model.parameters(), model=model)
    with pytest.raises(KeyError):
        model(100 * x)
    model.whole = True
    optimiser.step(closure_of(optimiser, lambda: model(x).sum(), graph=False))
    torch.testing.assert_close(optimiser.state[model.layer.weight]["activations"], x.T @ x / 4)


def test_a_model_that_it_never_saw_pass_is_no_plain_descent():
    model, x, _ = net()
    optimiser = KFAC(model.parameters(), model=model)
    (x @ model[0].weight.T).sum().backward()
    with pytest.raises(RuntimeError, match="has seen no pass through its model"):
        optimiser.step()


def test_the_courses_network_is_trained_by_it():
    program = mlp.build(replace(mlp.VARIANTS["xor"], optimiser="kfac"))
    program.step(0)
    assert all("activations_inverse" in kept for kept in program.optimiser.state.values())
    with pytest.raises(UserError, match="kfac cannot look into the engine"):
        mlp.build(replace(mlp.VARIANTS["xor"], optimiser="kfac", engine="byhand"))
