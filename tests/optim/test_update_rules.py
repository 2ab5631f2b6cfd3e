"""A rule on the elementwise ground: states, groups, closures, layouts, saving and going on, laid flat or not."""

import copy

import pytest
import torch
from torch import nn

from shinso.kernels import elementwise
from shinso.optim._elementwise import AbstractElementwise


class HeavyBall(AbstractElementwise):
    """v = mu v + g / t, w = w - lr v: a rule whose numbers change with the step."""

    STATE = ("velocity",)

    def __init__(self, params, lr=0.1, mu=0.9, weight_decay=0.0, maximize=False):
        super().__init__(params, {"lr": lr, "mu": mu, "weight_decay": weight_decay, "maximize": maximize})

    @staticmethod
    def rule(w, g, s, h):
        rate, mu, share = h
        v = mu * s[0] + share * g
        return w - rate * v, (v,)

    def numbers(self, group, step):
        return group["lr"], group["mu"], 1 / step


def network(dtype=torch.float64):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 7), nn.Tanh(), nn.Linear(7, 3)
    return nn.Sequential(*layers).to(dtype).to(memory_format=torch.channels_last)


def descend(net, optimiser, steps, skip=None, seed=1):
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimiser.zero_grad()
        net(torch.randn(4, 3, 8, 8, generator=draw, dtype=next(net.parameters()).dtype)).square().mean().backward()
        if skip is not None:
            net[skip].weight.grad = None
        optimiser.step()


def by_hand(net, steps, skip=None, lr=0.1, mu=0.9, weight_decay=0.0, sign=1, seed=1):
    """The same in tensor operations."""
    draw, velocity, count = torch.Generator().manual_seed(seed), {}, {}
    for _ in range(steps):
        net.zero_grad()
        net(torch.randn(4, 3, 8, 8, generator=draw, dtype=torch.float64)).square().mean().backward()
        with torch.no_grad():
            for w in net.parameters():
                if skip is not None and w is net[skip].weight:
                    continue
                count[w] = count.get(w, 0) + 1
                velocity[w] = mu * velocity.get(w, 0) + (sign * w.grad + weight_decay * w) / count[w]
                w -= lr * velocity[w]


def close(one, other, within=1e-12):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=within)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"lr": 1e-4, "maximize": True, "mu": 0.5}])
def test_three_hundred_steps_equal_the_rule_by_hand(options, flat):
    one, two = network(), network()
    optimiser = HeavyBall(one.parameters(), **options)
    descend(one, optimiser.flatten() if flat else optimiser, 300)
    by_hand(two, 300, sign=-1 if options.get("maximize") else 1,
            **{k: v for k, v in options.items() if k != "maximize"})
    close(one, two)


@pytest.mark.parametrize("flat", [False, True])
def test_weights_without_a_gradient_stand_still_and_count_for_themselves(flat):
    one, two = network(), network()
    optimiser = HeavyBall(one.parameters())
    optimiser = optimiser.flatten() if flat else optimiser
    descend(one, optimiser, 10, skip=2)
    by_hand(two, 10, skip=2)
    close(one, two)
    descend(one, optimiser, 5)
    assert optimiser.state[one[2].weight]["step"] == 5 and optimiser.state[one[4].weight]["step"] == 15


def test_flat_weights_are_one_row_and_their_gradients_stay():
    net = network()
    optimiser = HeavyBall(net.parameters()).flatten()
    descend(net, optimiser, 2)
    (_, bundles), = optimiser._bundled.values()
    assert [len(b.places.rows) for b in bundles] == [1] and len(bundles[0].weights) == 6
    kept = [w.grad for w in net.parameters()]
    optimiser.zero_grad()
    assert all(w.grad is g and not g.any() for w, g in zip(net.parameters(), kept, strict=True))


def test_a_gradient_put_in_the_place_of_a_flat_one_is_taken():
    one, two = (nn.Parameter(torch.ones(4)) for _ in range(2))
    optimiser = HeavyBall([one, two]).flatten()
    one.grad, two.grad = torch.full((4,), 2.0), None
    optimiser.step()
    torch.testing.assert_close(one.detach(), torch.full((4,), 0.8))
    assert torch.equal(two.detach(), torch.ones(4))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_going_on_from_a_saved_state_is_bit_identical(flat, dtype):
    whole = network(dtype)
    first = HeavyBall(whole.parameters())
    first = first.flatten() if flat else first
    descend(whole, first, 7)
    again = copy.deepcopy(whole)
    second = HeavyBall(again.parameters())
    second = second.flatten() if flat else second
    state = copy.deepcopy(first.state_dict())
    for kept in state["state"].values():
        assert set(kept) == {"step", "velocity"} and kept["step"] == 7 and kept["step"].shape == ()
        kept.update({name: tensor.contiguous().clone() for name, tensor in kept.items()})
    second.load_state_dict(state)
    descend(whole, first, 5, seed=2)
    descend(again, second, 5, seed=2)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_state_that_was_taken_away_or_changed_begins_anew():
    w = nn.Parameter(torch.zeros(3))
    w.grad = torch.ones(3)
    optimiser = HeavyBall([w])
    optimiser.step()
    for forget in (optimiser.state.clear, lambda: optimiser.state[w].clear(),
                   lambda: optimiser.state.update({w: {}})):
        optimiser.step()
        forget()
        before = w.detach().clone()
        optimiser.step()
        torch.testing.assert_close(w.detach(), before - 0.1)
    optimiser.state[w]["velocity"] = torch.zeros(3)
    optimiser.state[w]["step"] = torch.tensor(1.0)
    before = w.detach().clone()
    optimiser.step()
    torch.testing.assert_close(w.detach(), before - 0.05)


@pytest.mark.parametrize("cut", [False, True])
def test_groups_closures_schedules_and_hooks_work_as_in_torch(cut, monkeypatch):
    if cut:
        monkeypatch.setattr(elementwise, "native", lambda name: None)
    one, two = (nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    optimiser, seen = HeavyBall([{"params": [one]}, {"params": [two], "lr": 0.5}], mu=0.0), []
    optimiser.register_step_post_hook(lambda *args: seen.append(1))
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1, gamma=0.5)

    def closure():
        optimiser.zero_grad()
        loss = one.sum() + two.sum()
        loss.backward()
        return loss

    assert optimiser.step(closure) == 12
    schedule.step()
    assert one[0, 0].item() == pytest.approx(0.9) and two[0, 0].item() == 0.5 and seen == [1]
    optimiser.step(closure)
    assert two[0, 0].item() == pytest.approx(0.5 - 0.25 / 2)
    optimiser.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    optimiser.step(closure)


def test_a_rate_may_be_a_tensor_and_weights_complex_or_half():
    for dtype in (torch.complex64, torch.float16, torch.bfloat16):
        w = nn.Parameter(torch.ones(3, dtype=dtype))
        w.grad = torch.ones(3, dtype=dtype)
        HeavyBall([w], lr=torch.tensor(0.5)).step()
        assert torch.equal(w.detach(), torch.full((3,), 0.5, dtype=dtype))


def test_a_sparse_gradient_is_refused_in_torchs_words():
    w = nn.Parameter(torch.ones(3, 2))
    w.grad = torch.eye(3)[:, :2].to_sparse()
    with pytest.raises(RuntimeError, match="HeavyBall does not support sparse gradients"):
        HeavyBall([w]).step()


def test_transposed_gradients_are_read_in_the_weights_order():
    w = nn.Parameter(torch.zeros(2, 3))
    w.grad = torch.arange(6.0).view(3, 2).t()
    expected = -0.1 * w.grad
    HeavyBall([w]).step()
    torch.testing.assert_close(w.detach(), expected)


def test_tied_and_scattered_weights_stay_where_they_are_when_laid_flat():
    whole = torch.ones(4, 4)
    left, right, alone = nn.Parameter(whole[:, :2]), nn.Parameter(whole[:, 2:]), nn.Parameter(torch.ones(3))
    optimiser = HeavyBall([left, right, alone]).flatten()
    assert left.data_ptr() == whole.data_ptr()
    optimiser.zero_grad()
    (left.sum() + right.sum() + alone.sum()).backward()
    optimiser.step()
    torch.testing.assert_close(whole, torch.full((4, 4), 0.9))
    torch.testing.assert_close(alone.detach(), torch.full((3,), 0.9))
