"""Moves, memory, resumption: what the off-policy program promises whatever learns in it."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from shinso.learn.offpolicy import play
from shinso.learn.replay import Ring
from shinso.rl import dqn
from shinso.worlds.finite import two_state
from shinso.worlds.gym import World

SMOKE = dqn.VARIANTS["smoke"]
SMALL = [SMOKE, replace(SMOKE, world="two-state", clip="none", double=True),
         replace(SMOKE, world="catch", network="small", steps=400, moves=4, updates=1, warmup=100, memory=150)]


def trace(program, start, stop):
    return [{k: float(v) for k, v in program.step(i).items()} for i in range(start, stop)]


@pytest.mark.parametrize("setup", SMALL, ids=lambda s: s.world)
def test_resume_at_any_step_is_bit_identical_mid_episode_included(setup):
    whole = dqn.build(setup)
    states, records = [], []
    for i in range(whole.total):
        states.append(copy.deepcopy(whole.state()))
        records += trace(whole, i, i + 1)
    halfway = [k for k, s in enumerate(states) if s["running"] or s["world"]["env"].get("elapsed", [1])[0]]
    assert len(halfway) > 10
    for start in (0, 1, 7, whole.total // 4, whole.total // 2, whole.total - 3):
        other = dqn.build(replace(setup, seed=123))  # nothing of its own may survive
        other.plan = whole.plan
        other.restore(states[start])
        assert trace(other, start, other.total) == records[start:], start
        for name, value in other.learner.weights().items():
            assert torch.equal(value, whole.learner.weights()[name])


def test_same_seed_same_records_and_another_seed_others():
    first, second = dqn.build(SMOKE), dqn.build(SMOKE)
    assert trace(first, 0, first.total) == trace(second, 0, second.total)
    third = dqn.build(replace(SMOKE, seed=1))
    assert trace(third, 0, third.total) != trace(dqn.build(SMOKE), 0, third.total)


def test_records_are_finite_and_have_a_loss_from_the_first_step_on():
    program = dqn.build(SMOKE)
    records = trace(program, 0, program.total)
    assert records[0]["loss"] == 0.0 and records[-1]["loss"] > 0.0
    assert all(np.isfinite(value) for record in records for value in record.values())
    assert len({tuple(record) for record in records}) == 1


def test_evaluation_moves_neither_the_world_nor_the_learner():
    left, right = dqn.build(SMOKE), dqn.build(SMOKE)
    left_records = trace(left, 0, left.total)
    right_records = []
    for i in range(right.total):
        right_records += trace(right, i, i + 1)
        right.evaluate("validation" if i % 2 else "test")
    assert left_records == right_records


def test_the_best_network_is_kept_and_judged_by_the_test():
    program = dqn.build(SMOKE)
    for i in range(program.total):
        program.step(i)
    program.evaluate("validation")
    kept = program.best["return_mean"]
    before = program.evaluate("test")
    with torch.no_grad():
        for value in program.learner.net.parameters():
            value.mul_(-1)
    program.best["return_mean"] = 1e9  # nothing that follows can be better
    program.evaluate("validation")
    assert program.evaluate("test") == before and kept <= 500
    other = dqn.build(SMOKE)
    other.restore(copy.deepcopy(program.state()))
    assert other.evaluate("test") == before


def test_the_best_network_comes_back_to_the_programs_device():
    """A checkpoint holds it on the CPU; `meta` stands for a device that is not the CPU."""
    program, other = dqn.build(SMOKE), dqn.build(SMOKE)
    program.evaluate("validation")
    other.device = "meta"
    other.restore(copy.deepcopy(program.state()))
    assert {value.device.type for value in other.best["weights"].values()} == {"meta"}


def test_a_cut_off_episode_is_remembered_as_going_on():
    program = dqn.build(replace(SMOKE, world="two-state"))
    for i in range(20):
        program.step(i)
    assert program.episodes == 20 * SMOKE.moves // 20
    assert program.memory.fields["terminated"].sum() == 0
    program = dqn.build(replace(SMOKE, world="corridor", warmup=10**6))
    for i in range(program.total):
        program.step(i)
    ended = program.memory.fields["terminated"].astype(bool)
    assert ended.any() and (program.memory.fields["then"][ended].argmax(axis=1) == 4).all()


def test_the_ring_forgets_the_oldest_and_copies_what_it_keeps():
    ring, seen = Ring(4, (1,), np.float32), np.zeros(1, np.float32)
    for k in range(6):
        seen[0] = k
        ring.add(seen, k, k, seen, terminated=False)
    assert sorted(ring.fields["seen"].ravel()) == [2, 3, 4, 5]
    assert sorted(ring.fields["actions"]) == [2, 3, 4, 5]
    drawn = ring.sample(np.random.default_rng(0), 500)
    assert set(drawn.actions.tolist()) == {2, 3, 4, 5}
    assert torch.equal(drawn.seen.flatten(), drawn.actions.float())


def test_a_ring_that_is_not_full_draws_only_what_is_there():
    ring = Ring(100, (1,), np.float32)
    for k in range(3):
        ring.add(np.array([k]), k, 1.0, np.array([k]), terminated=False)
    assert set(ring.sample(np.random.default_rng(0), 300).actions.tolist()) == {0, 1, 2}


def test_epsilon_falls_straight_and_stays():
    program = dqn.build(replace(SMOKE, epsilon=0.1, anneal=100))
    heights = []
    for program.moves in (0, 50, 100, 5000):
        heights.append(program.epsilon())
    assert heights == pytest.approx([1.0, 0.55, 0.1, 0.1], abs=1e-12)


def test_exploration_is_uniform_over_actions():
    program = dqn.build(replace(SMOKE, epsilon=1.0, steps=8000, warmup=10**6, memory=8000))
    for i in range(program.total):
        program.step(i)
    counts = np.bincount(program.memory.fields["actions"], minlength=2)
    assert ((counts - 4000) ** 2 / 4000).sum() < 10.8  # 99.9 % point on one degree


def test_returns_are_counted_from_true_rewards_and_episodes_do_not_mix():
    def stay(seen):
        return np.where(seen.argmax(axis=1) == 1, 0, 1)

    worlds = [World(two_state(limit=9), seed) for seed in range(8)]
    assert set(play(worlds, stay)) == {8.0, 9.0}
    program = dqn.build(replace(SMOKE, world="temptation", clip="sign", epsilon=1.0))
    returns = {record["return_last"] for record in trace(program, 0, 50)}
    assert returns == {2.0, 100.0}
