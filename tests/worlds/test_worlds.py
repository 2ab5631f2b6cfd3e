"""Worlds: their answers are known, and they continue where they were saved."""

import builtins
import json

import numpy as np
import pytest

from shinso.core.errors import UserError
from shinso.worlds.catch import Catch
from shinso.worlds.finite import best_values, corridor, identity, temptation, two_state
from shinso.worlds.gym import World, gymnasium_world
from shinso.worlds.named import world_maker

CLASSIC = ["CartPole-v1", "MountainCar-v0", "Acrobot-v1"]
OWN = ["corridor", "identity", "two-state", "temptation", "catch"]


def walk(world, count, rng):
    seen = []
    for _ in range(count):
        then, reward, terminated, truncated = world.step(int(rng.integers(world.num_actions)))
        seen.append((then.tobytes(), reward, terminated, truncated))
        if terminated or truncated:
            seen.append(world.reset().tobytes())
    return seen


@pytest.mark.parametrize("name", CLASSIC + OWN)
@pytest.mark.parametrize("before", [0, 1, 7, 33, 250])
def test_a_world_continues_where_it_was_saved(name, before):
    make = world_maker(name, 21, 2)
    world, other = World(make(), 5), World(make(), 99)
    world.reset()
    walk(world, before, np.random.default_rng(1))
    saved = json.loads(json.dumps(world.state(), default=lambda a: {"array": a.tolist(), "dtype": str(a.dtype)}),
                       object_hook=lambda d: np.array(d["array"], d["dtype"]) if "array" in d else d)
    other.reset()
    walk(other, 3, np.random.default_rng(2))
    other.restore(saved)
    assert walk(world, 600, np.random.default_rng(3)) == walk(other, 600, np.random.default_rng(3))


def test_the_time_limit_survives_being_saved():
    make = gymnasium_world("MountainCar-v0")
    world, other = World(make(), 0), World(make(), 1)
    world.reset()
    for _ in range(150):
        world.step(1)
    other.restore(world.state())
    ends = [other.step(1)[3] for _ in range(50)]
    assert ends == [False] * 49 + [True]


def test_a_world_whose_state_is_unknown_is_refused_when_saved():
    import gymnasium

    env = gymnasium.wrappers.FrameStackObservation(gymnasium_world("CartPole-v1")(), 2)
    with pytest.raises(UserError, match="FrameStackObservation cannot be saved"):
        World(env, 0).state()


def test_a_foreign_world_with_get_state_is_taken():
    class Foreign:
        num_actions, shape, dtype, unwrapped = 1, (1,), np.float32, None

        def get_state(self):
            return {"n": 3}

        def set_state(self, state):
            self.n = state["n"]

    world = World(Foreign(), 0)
    world.restore(world.state())
    assert world.env.n == 3


def test_unknown_and_continuous_worlds_are_refused_in_one_sentence():
    with pytest.raises(UserError, match="did you mean 'CartPole-v1'"):
        world_maker("CartPole-1", 21, 2)
    with pytest.raises(UserError, match="discrete"):
        World(gymnasium_world("Pendulum-v1")(), 0)


def test_without_gymnasium_the_command_that_installs_it_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **named):
        if name == "gymnasium":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r"pip install 'shinso\[rl\]'"):
        gymnasium_world("CartPole-v1")


@pytest.mark.parametrize("make", [identity, corridor, two_state, temptation])
def test_chances_are_distributions_and_the_best_values_solve_their_equation(make):
    world = make()
    assert np.allclose(world.chances.sum(axis=2), 1, atol=1e-12)
    q = best_values(world, 0.9)
    ahead = np.where(world.terminal, 0, q.max(axis=1))
    again = np.where(world.terminal[:, None], 0, world.rewards + 0.9 * world.chances @ ahead)
    assert np.abs(q - again).max() < 1e-11


def test_known_answers():
    assert np.allclose(best_values(corridor(6), 0.9)[:-1, 1], 0.9 ** np.arange(4, -1, -1), atol=1e-12)
    assert abs(best_values(two_state(), 0.8)[0, 1] - 0.8 / 0.2) < 1e-10
    assert np.array_equal(best_values(identity(4), 0.5).argmax(axis=1), np.arange(4))
    assert best_values(temptation(), 0.9)[0].argmax() == 1


def test_catch_can_always_be_won_and_one_frame_does_not_tell_the_way():
    world, won, ways = Catch(), 0, {}
    world.reset(seed=0)
    for _ in range(300):
        done = False
        while not done:
            row, column, drift, paddle = (int(x) for x in world.place)
            if len(ways.setdefault(world.stack[-1].tobytes(), set())) < 3:
                ways[world.stack[-1].tobytes()].add(drift)
            left = world.cells - 1 - row
            goal = column
            for _ in range(left):
                drift = drift if 0 <= goal + drift < world.cells else -drift
                goal += drift
            _, reward, done, _, _ = world.step(1 + int(np.sign(goal - paddle)))
        won += reward > 0
        world.reset()
    assert won >= 0.97 * 300, won
    assert max(map(len, ways.values())) == 3
