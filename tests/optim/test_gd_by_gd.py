"""GDByGD equals an LSTM written out in NumPy, takes rules from files, and training follows equation (3)."""

import copy

import numpy as np
import pytest
import torch
from oracles import records, same_tree
from safetensors.torch import save_file
from streams import goes_on, is_used_as_torch_uses_it
from torch import nn

from shinso.core.errors import UserError
from shinso.core.seed import drawing_from
from shinso.optim import gd_by_gd
from shinso.optim.gd_by_gd import SHIPPED, GDByGD, Quadratics, Training, UpdateRule, features, learned, unroll


def andrychowicz(w, lr=1.0):
    """Equations (1) to (3) of the paper's section 2 and its appendix A, p = 10, gates in torch's order i, f, g, o."""
    phi = {name: value.double().numpy() for name, value in learned(SHIPPED).state_dict().items()}
    h, c = np.zeros((2, w.size, 20)), np.zeros((2, w.size, 20))
    while True:
        g = np.asarray((yield w)).reshape(-1)
        big = np.abs(g) >= np.exp(-10)
        x = np.where(big[:, None], np.stack([np.log(np.where(big, np.abs(g), 1)) / 10, np.sign(g)], 1),
                     np.stack([-np.ones_like(g), np.exp(10) * g], 1))
        for k, layer in enumerate(("first", "second")):
            z = x @ phi[f"{layer}.weight_ih"].T + phi[f"{layer}.bias_ih"] + (
                h[k] @ phi[f"{layer}.weight_hh"].T + phi[f"{layer}.bias_hh"])
            i, f, o = (1 / (1 + np.exp(-z[:, s : s + 20])) for s in (0, 20, 60))
            c[k] = f * c[k] + i * np.tanh(z[:, 40:60])
            h[k] = x = o * np.tanh(c[k])
        w = w + lr * (0.1 * (x @ phi["out.weight"].T + phi["out.bias"])).reshape(w.shape)


@pytest.mark.parametrize(("options", "sign"), [({}, 1.0), ({"lr": 0.3}, 1.0), ({"maximize": True}, -1.0)])
def test_three_hundred_steps_equal_the_papers(options, sign, monkeypatch):
    """Fed with gradients that do not depend on the weights: rounding errors are not to be fed back."""
    monkeypatch.setattr(gd_by_gd, "_PORTION", 5)
    draw = np.random.default_rng(0)
    shapes = [(3, 4), (5,), ()]
    starts = [np.asarray(draw.normal(size=shape)) for shape in shapes]
    weights = [nn.Parameter(torch.tensor(w)) for w in starts]
    weights[0] = nn.Parameter(weights[0].detach().t().contiguous().t())
    lr = options.get("lr", 1.0) * sign
    rules = [andrychowicz(w, lr) for w in starts]
    for rule in rules:
        next(rule)
    optimiser = GDByGD(weights, **options)
    for _ in range(300):
        expected = []
        for w, rule, shape in zip(weights, rules, shapes, strict=True):
            g = np.asarray(draw.normal(size=shape) * 10.0 ** draw.integers(-7, 3, size=shape))
            w.grad = torch.tensor(g)
            expected.append(rule.send(sign * g))
        optimiser.step()
        for w, other in zip(weights, expected, strict=True):
            np.testing.assert_allclose(w.detach().numpy(), other, rtol=1e-11, atol=1e-11)


def test_features_are_of_order_1_and_finite_everywhere():
    g = torch.tensor([0.0, 1e-45, -1e-30, 1e-3, -5.0, 3e38])
    found = features(g)
    assert found.isfinite().all() and found.abs().max() <= 9
    assert torch.equal(found[0], torch.tensor([-1.0, 0.0]))
    assert torch.equal(found[4, 1], torch.tensor(-1.0))


def test_the_unrolled_form_is_the_step_by_step_form():
    rule = learned(SHIPPED)
    g = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
    w = torch.zeros(6, requires_grad=True)
    optimiser = GDByGD([w])
    for column in g.unbind(1):
        w.grad = column
        optimiser.step()
    with torch.no_grad():
        torch.testing.assert_close(w, rule(g).sum(1), rtol=1e-5, atol=1e-5)


def test_the_shipped_rule_is_small_and_leads_to_the_bottom():
    assert SHIPPED.stat().st_size < 60_000
    assert sum(p.numel() for p in learned(SHIPPED).parameters()) == 5301
    w = torch.full((4,), 2.0, requires_grad=True)
    optimiser = GDByGD([w])
    for _ in range(200):
        w.grad = 2 * w.detach()
        optimiser.step()
    assert float(w.detach().square().sum()) < 0.16


def test_a_rule_of_ones_own_is_taken_as_object_and_as_file(tmp_path):
    with drawing_from(0, "test"):
        rule = UpdateRule(8)
    save_file(rule.state_dict(), tmp_path / "mine.safetensors")
    ends = []
    for given in (rule, tmp_path / "mine.safetensors", str(tmp_path / "mine.safetensors"), None):
        w = torch.zeros(3, requires_grad=True)
        w.grad = torch.ones(3)
        optimiser = GDByGD([w], rule=given)
        optimiser.step()
        ends.append(w.detach())
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0], ends[2]) and not torch.equal(ends[0], ends[3])


def test_a_file_that_holds_no_rule_is_refused(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("not tensors")
    for name in ("other", "text", "missing"):
        with pytest.raises(UserError, match="no learned rule"):
            GDByGD([torch.zeros(2, requires_grad=True)], rule=tmp_path / f"{name}.safetensors")


def test_slopes_of_quadratics_are_autograds():
    problems = Quadratics(3, 4)
    problem = problems.draw(torch.Generator().manual_seed(0))
    theta = problem["theta"].requires_grad_()
    heights, g = problems.slope(problem, theta, 0)
    (expected,) = torch.autograd.grad(heights.sum(), theta)
    torch.testing.assert_close(g, expected)


def test_unrolling_in_two_pieces_is_unrolling_in_one():
    problems, rule = Quadratics(2), learned(SHIPPED)
    problem = problems.draw(torch.Generator().manual_seed(0))
    with torch.no_grad():
        _, theta, _, whole = unroll(rule, problems, problem, rule.begin(20), steps=8)
        _, middle, h, first = unroll(rule, problems, problem, rule.begin(20), steps=3)
        _, last, _, second = unroll(rule, problems, {**problem, "theta": middle}, h, first=3, steps=5)
    assert torch.equal(theta, last) and torch.equal(whole, torch.cat([first, second]))


def test_training_goes_on_where_it_was_saved():
    whole, first, second = (Training(Quadratics(2), updates=14, steps=4, horizon=12, hidden=5) for _ in range(3))
    rows = records(whole)
    head = records(first, 0, 5)
    second.restore(copy.deepcopy(first.state()))
    assert head + records(second, 5) == rows
    assert same_tree(second.state(), whole.state())


def test_it_goes_on_where_it_was_saved():
    goes_on(GDByGD, {})


def test_it_is_used_as_any_optimiser():
    is_used_as_torch_uses_it(GDByGD, {"lr": 0.5})


def test_float32_weights_stay_float32_and_the_state_has_80_numbers_an_entry():
    w = nn.Parameter(torch.ones(3, 2))
    w.grad = torch.ones(3, 2)
    optimiser = GDByGD([w, nn.Parameter(torch.ones(2))])
    optimiser.step()
    assert w.dtype == torch.float32 and not torch.equal(w, torch.ones(3, 2))
    assert sum(value.numel() for value in optimiser.state[w].values()) == 80 * 6


def test_impossible_options_are_refused_in_torchs_words():
    with pytest.raises(ValueError, match="Invalid learning rate: -1"):
        GDByGD([torch.zeros(2, requires_grad=True)], lr=-1)


def test_sparse_gradients_are_refused():
    w = torch.zeros(2, 2, requires_grad=True)
    w.grad = torch.zeros(2, 2).to_sparse()
    with pytest.raises(RuntimeError, match="GDByGD does not support sparse gradients"):
        GDByGD([w]).step()
