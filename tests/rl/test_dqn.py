"""DQN: its claims, its equations beside torch's, and CartPole over seeds."""

import copy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.learn.replay import Moves, Ring
from shinso.rl import dqn
from shinso.rl._networks import count, nature, nips, value_function
from shinso.worlds.finite import best_values, corridor, identity
from shinso.worlds.gym import World

DELTAS = (0.5, 1.0, 2.0, 3.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_table_reaches_the_corridors_values(seed):
    program = dqn.played(replace(dqn.VARIANTS["corridor"], seed=seed))
    assert np.abs(dqn.table_of(program) - best_values(corridor(), 0.9))[:-1].max() < 0.01


def test_the_identity_world_is_solved():
    program = dqn.played(replace(dqn.VARIANTS["corridor"], world="identity", gamma=0.5))
    assert np.abs(dqn.table_of(program) - best_values(identity(), 0.5)).max() < 0.05
    assert program.evaluate("test")["return_mean"] == 20.0


def test_double_dqn_reaches_the_same_values_without_noise():
    program = dqn.played(replace(dqn.VARIANTS["corridor"], double=True))
    assert np.abs(dqn.table_of(program) - best_values(corridor(), 0.9))[:-1].max() < 0.01


def batch(count=64, seed=0):
    noise = torch.Generator().manual_seed(seed)
    seen, then = torch.randn(2, count, 4, generator=noise)
    actions = torch.randint(2, (count,), generator=noise)
    rewards = torch.randn(count, generator=noise)
    return Moves(seen, actions, rewards, then, (torch.rand(count, generator=noise) < 0.3).float())


@pytest.mark.parametrize("double", [False, True])
def test_targets_follow_equation_1(double):
    learner = dqn.build(dqn.Setup(double=double, copy_every=1000)).learner
    moves = batch()
    learner.learn(moves, 4)  # so that net and copy differ
    frozen = copy.deepcopy(learner.net)
    frozen.load_state_dict(learner.frozen)
    for k, y in enumerate(learner.targets(moves)):
        values = frozen(moves.then[k])
        best = int(learner.net(moves.then[k]).argmax()) if double else int(values.argmax())
        wanted = float(moves.rewards[k])
        if not moves.terminated[k]:
            wanted += 0.99 * float(values.detach()[best])
        assert float(y) == pytest.approx(wanted, abs=1e-5)


def test_no_gradient_enters_the_target():
    learner = dqn.build(dqn.Setup()).learner
    before = {name: value.clone() for name, value in learner.frozen.items()}
    y = learner.targets(batch())
    assert not y.requires_grad
    learner.update(batch(), y)
    assert all(not value.requires_grad and torch.equal(value, before[name]) for name, value in learner.frozen.items())
    assert any(not torch.equal(value, before[name]) for name, value in learner.weights().items())


@pytest.mark.parametrize("copy_every", [1, 3, 4, 7, 100])
def test_many_updates_at_once_are_the_same_as_one_by_one(copy_every):
    moves = batch(8 * 16)
    setup = dqn.Setup(copy_every=copy_every, hidden=(16,))
    whole, single = dqn.build(setup).learner, dqn.build(setup).learner
    whole.learn(moves, 8)
    for k in range(0, 128, 16):
        part = moves.part(k, k + 16)
        single.update(part, single.targets(part))
    for name, value in whole.weights().items():
        assert torch.allclose(value, single.weights()[name], atol=1e-6)
        assert torch.allclose(whole.frozen[name], single.frozen[name], atol=1e-6)


@pytest.mark.parametrize("hidden", [(), (7,), (32, 16)])
def test_the_gradient_by_hand_is_the_graphs(hidden):
    learner = dqn.build(dqn.Setup(hidden=hidden, delta=0.7)).learner
    moves = batch()
    y = learner.targets(moves)
    loss, value = (float(x) for x in learner.graph(moves, y))
    wanted = [p.grad.clone() for p in learner.net.parameters()]
    learner.net.zero_grad(set_to_none=False)
    by_hand = learner.by_hand(moves.seen.numpy(), moves.actions.numpy(), y.numpy(), 0.7)
    assert by_hand == pytest.approx((loss, value), rel=1e-5)
    for p, grad in zip(learner.net.parameters(), wanted, strict=True):
        assert grad.abs().max() > 1e-4 and torch.allclose(p.grad, grad, rtol=1e-5, atol=1e-7)


def test_both_paths_learn_the_same():
    setup = dqn.Setup(hidden=(32,), copy_every=5, lr=1e-3)
    quick, plain = dqn.build(setup).learner, dqn.build(setup).learner
    plain.by_hand = None
    for seed in range(6):
        quick.learn(batch(128, seed), 8)
        plain.learn(batch(128, seed), 8)
    for name, value in plain.weights().items():
        assert torch.allclose(value, quick.weights()[name], atol=2e-5)


@pytest.mark.parametrize("delta", DELTAS)
def test_huber_is_torchs_and_its_slope_is_the_clipped_error(delta):
    x = torch.linspace(-6, 6, 4001, dtype=torch.float64, requires_grad=True)
    ours, theirs = dqn.huber(x, delta), F.huber_loss(x, torch.zeros_like(x), delta=delta, reduction="none")
    assert (ours - theirs).abs().max() <= 1e-12
    smooth = F.smooth_l1_loss(x, torch.zeros_like(x), beta=delta, reduction="none")
    assert (ours / delta - smooth).abs().max() <= 1e-12
    (slope,) = torch.autograd.grad(ours.sum(), x)
    assert (slope - x.detach().clamp(-delta, delta)).abs().max() <= 1e-12
    assert float(slope.abs().max()) <= delta


@pytest.mark.parametrize(("delta", "beyond"), [(0.5, 0.375), (1.0, 0.5), (2.0, 0.0), (3.0, -1.5)])
def test_the_printed_condition_jumps_at_1_unless_delta_is_1(delta, beyond):
    def printed(a):
        return 0.5 * a * a if abs(a) <= 1 else delta * (abs(a) - 0.5 * delta)

    assert printed(1.0) == 0.5
    assert printed(1.0 + 1e-12) == pytest.approx(beyond, abs=1e-9)
    right = float(dqn.huber(torch.tensor(1.0 + 1e-12, dtype=torch.float64), delta))
    left = float(dqn.huber(torch.tensor(1.0, dtype=torch.float64), delta))
    assert right == pytest.approx(left, abs=1e-9)


def test_rewards_are_clipped_by_sign_or_by_limit():
    rewards = [-100.0, -1.0, -0.3, 0.0, 0.3, 1.0, 100.0]
    assert [dqn.clipped(r, "sign") for r in rewards] == [-1, -1, -1, 0, 1, 1, 1]
    assert [dqn.clipped(r, "limit") for r in rewards] == [-1, -1, -0.3, 0, 0.3, 1, 1]
    assert [dqn.clipped(r, "none") for r in rewards] == rewards


@pytest.mark.parametrize(("clip", "first", "score"), [("none", 1, 100.0), ("sign", 0, 2.0)])
def test_a_learner_with_clipped_rewards_takes_the_worse_way(clip, first, score):
    setup = replace(dqn.VARIANTS["corridor"], world="temptation", clip=clip, delta=100.0, lr=0.5, gamma=0.9)
    program = dqn.played(setup)
    assert dqn.table_of(program)[0].argmax() == first
    assert program.evaluate("test")["return_mean"] == score


def endless(seen, then, rewards):
    none = torch.zeros(len(seen), dtype=torch.float64)
    return Moves(seen, none.long(), rewards, then, none)


def test_a_frozen_period_is_a_regression_on_linear_values():
    noise = torch.Generator().manual_seed(0)
    seen, then = torch.randn(2, 40, 3, generator=noise, dtype=torch.float64)
    learner = dqn.linear(3, dqn.Setup(delta=float("inf"), copy_every=10**9), 0.5)
    moves = endless(seen, then, torch.randn(40, generator=noise, dtype=torch.float64))
    for _ in range(3):
        y = learner.targets(moves)
        for _ in range(150):
            learner.update(moves, y)
        fitted = torch.linalg.lstsq(seen, y[:, None]).solution[:, 0]
        assert (learner.net.weight[0] - fitted).abs().max() < 1e-8
        learner.copy()


@pytest.mark.parametrize("gamma", [0.4, 0.5, 0.75, 0.99])
def test_freezing_does_not_cure_w_2w(gamma):
    one = torch.ones(1, 1, dtype=torch.float64)
    learner = dqn.linear(1, dqn.Setup(delta=float("inf"), gamma=gamma, copy_every=60), 0.5)
    moves = endless(one, 2 * one, torch.zeros(1, dtype=torch.float64))
    for period in range(1, 6):
        for _ in range(60):
            learner.update(moves, learner.targets(moves))
        assert learner.net.weight.item() == pytest.approx((2 * gamma) ** period, rel=1e-9)


def test_batches_from_memory_are_not_correlated_as_the_stream_is():
    program = dqn.build(replace(dqn.VARIANTS["corridor"], warmup=10**9, steps=2_000))
    program.make, program.world = partial(corridor, 20, 10_000), World(corridor(20, 10_000), 0)
    program.seen, program.memory = program.world.reset(), Ring(2_000, (20,), np.float32)
    for i in range(program.total):
        program.step(i)
    walk = program.memory.fields["seen"].argmax(axis=1)
    drawn = program.memory.sample(np.random.default_rng(0), 2_000).seen.argmax(1).numpy()
    assert np.corrcoef(walk[:-1], walk[1:])[0, 1] > 0.9
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.08


@pytest.mark.parametrize("actions", [4, 6, 18])
def test_parameter_counts_are_the_papers(actions):
    assert count(nature, actions) == 1_684_128 + 513 * actions
    assert count(nips, actions) == 676_144 + 257 * actions
    assert {4: 1_686_180, 18: 1_693_362}.get(actions, count(nature, actions)) == count(nature, actions)


@pytest.mark.parametrize("variant", dqn.VARIANTS)
def test_every_variant_looks_and_acts(variant):
    setup = replace(dqn.VARIANTS[variant], steps=64, memory=64)
    program = dqn.build(setup)
    for i in range(2):
        program.step(i)
    sample = program.example()["q"]
    with torch.no_grad():
        values = program.networks()["q"](sample)
    by_numpy = value_function(program.learner.net, program.learner.weights(), "cpu")(sample.numpy())
    assert values.shape == (2, program.world.num_actions)
    assert np.allclose(values.numpy(), by_numpy, atol=1e-5)


def test_the_papers_network_learns_with_the_papers_settings():
    setup = dqn.VARIANTS["nature"]
    assert (setup.lr, setup.batch_size, setup.copy_every, setup.optimiser) == (2.5e-4, 32, 10_000, "rmsprop")
    program = dqn.build(replace(setup, warmup=8, memory=64))
    assert program.example()["q"].shape == (2, 4, 84, 84) and program.learner.by_hand is None
    before = {name: value.clone() for name, value in program.learner.weights().items()}
    records = [program.step(i) for i in range(3)]
    assert program.learner.updates == 2 and np.isfinite(float(records[-1]["loss"]))
    assert all(not torch.equal(value, before[name]) for name, value in program.learner.weights().items())


@pytest.mark.parametrize(("changes", "words"), [
    ({"network": "nature"}, "84 x 84"), ({"world": "catch"}, "mlp cannot see"), ({"steps": 0}, "steps"),
    ({"gamma": 1.5}, "gamma"), ({"world": "CartPoll-v1"}, "did you mean"),
    ({"world": "catch", "network": "small", "size": 10}, "multiple of 7"),
    ({"batch_size": -1}, "batch_size"), ({"warmup": 0}, "warmup"),
])
def test_nonsense_is_refused_in_one_sentence(changes, words):
    with pytest.raises(UserError, match=words):
        dqn.build(replace(dqn.Setup(), **changes))


def test_pictures_are_drawn_for_every_kind_of_world():
    for variant, names in (("smoke", {"values", "episode"}), ("corridor", {"values"}), ("catch", {"episode"})):
        pictures = dqn.build(replace(dqn.VARIANTS[variant], steps=64)).pictures()
        assert set(pictures) == names
        for image in pictures.values():
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.std() > 5


@pytest.mark.parametrize(("delta", "runs_away"), [(1.0, True), (1e6, False)])
def test_clipped_errors_let_a_narrow_network_run_away_and_squared_errors_do_not(delta, runs_away):
    program = dqn.build(replace(dqn.VARIANTS["default"], hidden=(32,), steps=5_000, delta=delta))
    records = [program.step(i) for i in range(program.total)]
    highest = 1 / (1 - 0.99)  # no return can be above it
    assert (records[-1]["q_mean"] > 2 * highest) == runs_away


def trained(setup):
    program = dqn.build(setup, Place())
    for i in range(program.total):
        program.step(i)
        if (i + 1) % program.rhythm == 0:
            program.evaluate("validation")
    return program


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_cartpole_is_solved_within_50000_steps(seed):
    setup = replace(dqn.VARIANTS["default"], seed=seed)
    program = trained(setup)
    assert program.moves <= 50_000
    assert setup.test_episodes == 100
    assert program.evaluate("test")["return_mean"] >= 475


@pytest.mark.slow
def test_without_a_long_memory_cartpole_is_not_learned_as_well():
    long, short = (trained(replace(dqn.VARIANTS["default"], steps=20_000, memory=memory)) for memory in (50_000, 64))
    assert short.evaluate("test")["return_mean"] < 0.7 * long.evaluate("test")["return_mean"]


@pytest.mark.slow
def test_pixel_catch_is_caught_in_95_of_100():
    program = trained(dqn.VARIANTS["catch"])
    assert (program.evaluate("test")["return_mean"] + 1) / 2 > 0.95
