r"""DQN, deep Q-network (Mnih et al. 2013, 2015): the first learner that mastered games from their pixels.

A network gives every action's value at once; acting is taking the largest. It learns from moves remembered long ago
and drawn at random, towards a target made by an older copy of itself:

    y = r + gamma (1 - terminated) max_b Q(s', b; theta^-)                                  (1)
    L(theta) = E_{(s,a,r,s') ~ D} [ h_delta( y - Q(s, a; theta) ) ]                         (2)
    h_delta(x) = x^2 / 2 for |x| <= delta, else delta (|x| - delta / 2)                     (3)
    r <- sign(r)                                                                            (4)
    theta^- <- theta after every C-th update                                                (5)

In (1) only the value of the best action of theta^- is used, no gradient flows, and nothing is added beyond a terminal
state; a time limit is not a terminal state. With `double` the action is chosen by theta and valued by theta^-
(van Hasselt et al. 2016). (3) is Huber's loss; with delta = 1 its gradient is the paper's clipped error. (4) lets one
step size serve all games and changes what is best: see the fact on two rewards. CartPole's reward is 1 at every move,
so (4) does not change it.

The surprise: freezing does not make this safe. Where the state after w has the value 2w, each frozen period still
multiplies w by 2 gamma.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.seed import drawing_from
from shinso.core.setup import in_range
from shinso.learn.offpolicy import Greedy, OffPolicy, Plan
from shinso.learn.replay import Moves, Ring
from shinso.rl import _by_hand as by_hand
from shinso.rl._networks import count, descent, nature, network, value_function
from shinso.rl._pictures import pictures
from shinso.worlds.finite import best_values, corridor, temptation, two_state
from shinso.worlds.gym import World
from shinso.worlds.named import world_maker


def huber(x: Tensor, delta: float) -> Tensor:
    """Equation (3), elementwise: with c = clip(x, -delta, delta) both branches are c (x - c/2), and its slope is c."""
    c = x.detach().clamp(-delta, delta)
    return c * (x - c / 2)  # (3)


def clipped(reward: float, how: str) -> float:
    """Equation (4): `sign` gives -1, 0, 1; `limit` cuts at -1 and 1, which differs for fractions; `none` leaves it."""
    if how == "sign":
        return float(reward > 0) - float(reward < 0)  # (4)
    return min(max(reward, -1.0), 1.0) if how == "limit" else reward


@final
class DQN:
    """A network, its frozen copy, and an optimiser: equations (1), (2) and (5)."""

    measures: tuple[str, ...] = ("loss", "q_mean")

    def __init__(self, net: nn.Module, optimiser: torch.optim.Optimizer, rules: "Setup", place: Place):
        self.net, self.optimiser, self.rules, self.place = net, optimiser, rules, place
        self.frozen = {name: value.detach().clone() for name, value in net.named_parameters()}
        self.updates = 0
        self.by_hand = by_hand.Gradient(net) if by_hand.is_perceptron(net) else None

    def targets(self, moves: Moves) -> Tensor:
        """Equation (1) for n moves, (n,)."""
        with torch.no_grad():
            values = self._values(self.frozen, moves.then)
            if self.rules.double:
                best = values.gather(1, self._values(self.weights(), moves.then).argmax(1, keepdim=True)).squeeze(1)
            else:
                best = values.amax(1)
            return moves.rewards + self.rules.gamma * (1 - moves.terminated) * best  # (1)

    def update(self, moves: Moves, targets: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """One descent on (2); the loss and the mean value of what was done."""
        if self.by_hand is None:
            loss, value = self.graph(moves, targets)
        else:
            loss, value = self.by_hand(moves.seen.numpy(), moves.actions.numpy(), targets.numpy(), self.rules.delta)
        self.optimiser.step()
        self.updates += 1
        if self.updates % self.rules.copy_every == 0:
            self.copy()
        return loss, value

    def graph(self, moves: Moves, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of (2) by automatic differentiation: the plain path, for every network and device."""
        self.net.zero_grad(set_to_none=False)
        q = self.net(moves.seen).gather(1, moves.actions.unsqueeze(1)).squeeze(1)
        loss = huber(q - targets, self.rules.delta).mean()  # (2)
        loss.backward()
        return loss.detach(), q.detach().mean()

    def _values(self, weights: dict[str, Tensor], seen: Tensor) -> Tensor:
        if self.by_hand is not None:
            return torch.from_numpy(by_hand.values(by_hand.layers(weights), seen.numpy()))
        return torch.func.functional_call(self.net, weights, (seen,))

    def copy(self) -> None:
        """Equation (5)."""
        for name, value in self.net.named_parameters():
            self.frozen[name].copy_(value.detach())  # (5)

    def learn(self, moves: Moves, updates: int) -> dict[str, Tensor | float]:
        """`updates` updates; the targets of all are one look at the frozen copy for as long as it stays the same."""
        size, rules = len(moves.actions) // updates, self.rules
        losses, values, k = [], [], 0
        while k < updates:
            alike = 1 if rules.double else min(updates - k, rules.copy_every - self.updates % rules.copy_every)
            block = moves.part(k * size, (k + alike) * size)
            targets = self.targets(block)
            for start in range(0, alike * size, size):
                loss, value = self.update(block.part(start, start + size), targets[start : start + size])
                losses.append(loss)
                values.append(value)
            k += alike
        return {"loss": sum(losses) / updates, "q_mean": sum(values) / updates}

    def chosen_by(self, weights: dict[str, Tensor]) -> Greedy:
        values = value_function(self.net, weights, self.place.device)
        return lambda seen: values(seen).argmax(axis=1)

    def weights(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.net.named_parameters()}

    def networks(self) -> dict[str, nn.Module]:
        return {"q": self.net}

    def state(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "frozen": self.frozen, "optimiser": self.optimiser.state_dict(),
                "updates": self.updates}

    def restore(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        for name, value in state["frozen"].items():
            self.frozen[name].copy_(value)
        self.optimiser.load_state_dict(state["optimiser"])
        self.updates = state["updates"]


def played(setup: "Setup") -> OffPolicy[DQN]:
    """A program that has run to its end."""
    program = build(setup)
    for i in range(program.total):
        program.step(i)
    return program


def table_of(program: OffPolicy[DQN]) -> np.ndarray:
    """The learned values of every state of a finite world, (states, actions)."""
    learner, states = program.learner, np.eye(program.world.shape[0], dtype=np.float32)
    return value_function(learner.net, learner.weights(), "cpu")(states)


def linear(features: int, rules: "Setup", lr: float) -> DQN:
    """A learner whose values are linear in `features` double-precision numbers, by plain gradient descent from 1."""
    net = nn.Linear(features, 1, bias=False).double()
    nn.init.constant_(net.weight, 1.0)
    return DQN(net, torch.optim.SGD(net.parameters(), lr), rules, Place())


def corridor_values() -> Check:
    """In a corridor with reward at its end the learned values are gamma^k: within 0.01 of Q* everywhere it can be.

    Source: Watkins 1989; equation (1) with a table for a network.
    """
    program = played(VARIANTS["corridor"])
    best = best_values(corridor(), VARIANTS["corridor"].gamma)
    return at_most(float(np.abs(table_of(program) - best)[:-1].max()), 0.01)


def time_limit_is_no_end() -> Check:
    """Two states without end, cut off every 20 moves: Q(0, change) is gamma / (1 - gamma) = 4, as if never cut off.

    Source: Pardo et al. 2018 (1712.00378).
    """
    program = played(replace(VARIANTS["corridor"], world="two-state", gamma=0.8))
    return about(float(table_of(program)[0, 1]), best_values(two_state(), 0.8)[0, 1].item(), 0.05)


def nothing_beyond_the_end() -> Check:
    """The target of a move into a terminal state is its reward alone, whatever the network says.

    Source: Mnih et al. 2013, algorithm 1.
    """
    learner = build(VARIANTS["corridor"]).learner
    state, zero = torch.eye(5)[:1], torch.zeros(1)
    y = learner.targets(Moves(state, zero.long(), zero + 0.25, state, zero + 1))
    return exactly(float(y), 0.25)


def target_stands_still() -> Check:
    """Between two copies the targets of the same moves do not change by a single bit, though the network learns.

    Source: Mnih et al. 2015.
    """
    learner = build(replace(VARIANTS["corridor"], copy_every=50)).learner
    state = torch.eye(5)
    moves = Moves(state, torch.zeros(5, dtype=torch.int64), torch.ones(5), state, torch.zeros(5))
    first, changed = learner.targets(moves), 0.0
    for _ in range(49):
        learner.update(moves, first)
        changed = max(changed, float((learner.targets(moves) - first).abs().max()))
    learner.update(moves, first)
    return exactly(changed + bool((learner.targets(moves) == first).all()), 0.0)


def freezing_is_no_cure() -> Check:
    """From w to 2w without reward, each frozen period multiplies w by 2 gamma: it grows for gamma > 1/2.

    Source: Tsitsiklis and Van Roy 1996, their two-state counter-example.
    """
    one = torch.ones(1, 1, dtype=torch.float64)
    learner = linear(1, Setup(delta=float("inf"), gamma=0.9, copy_every=60), 0.5)
    moves = Moves(one, torch.zeros(1, dtype=torch.int64), 0 * one[0], 2 * one, 0 * one[0])
    for _ in range(300):
        learner.update(moves, learner.targets(moves))
    return about(learner.weights()["weight"].item() ** (1 / 5), 2 * 0.9, 1e-9)


def huber_is_smooth() -> Check:
    """At |x| = delta value and slope of (3) meet from both sides, for delta 0.5, 1, 2 and 3.

    Source: Huber 1964.
    """
    worst = 0.0
    for delta in (0.5, 1.0, 2.0, 3.0):
        x = (torch.tensor([1 - 1e-9, 1 + 1e-9, -1 + 1e-9, -1 - 1e-9], dtype=torch.float64) * delta).requires_grad_()
        value = huber(x, delta)
        (slope,) = torch.autograd.grad(value.sum(), x)
        worst = max(worst, *(float((v[::2] - v[1::2]).abs().max()) for v in (value.detach(), slope)))
    return at_most(worst, 1e-7)


def clipping_changes_the_best() -> Check:
    """Rewards 1 + 1 now against 100 later: with (4) the worse way has the larger value, without it the better one.

    Source: Mnih et al. 2015 note that clipping hides the size of rewards.
    """
    world, tamed = temptation(), temptation()
    tamed.rewards = np.vectorize(partial(clipped, how="sign"))(world.rewards)
    true, changed = best_values(world, 0.9)[0], best_values(tamed, 0.9)[0]
    return at_least(float(min(true[1] - true[0], changed[0] - changed[1])), 0.5)


def memory_is_uniform() -> Check:
    """Of a ring that was filled one and a half times every place is drawn equally often: chi-square on 99 degrees.

    Source: Lin 1992; the bound is the 99.9 % point of the distribution, 148.2.
    """
    ring = Ring(100, (1,), np.float32)
    for k in range(150):
        ring.add(np.array([k]), 0, 0.0, np.array([k]), terminated=False)
    drawn = ring.sample(np.random.default_rng(0), 20_000).seen.flatten().long()
    return at_most(float((((torch.bincount(drawn - 50, minlength=100) - 200.0) ** 2) / 200).sum()), 148.2)


def nature_size() -> Check:
    """The network of 2015 has 1,684,128 + 513 A parameters: 1,693,362 for 18 actions.

    Source: Mnih et al. 2015, methods.
    """
    return exactly(count(nature, 18), 1_693_362)


CARD = Card(
    name="DQN",
    name_ja="深層Qネットワーク (DQN)",
    paper="Mnih et al. 2013 (arXiv:1312.5602); Mnih et al. 2015 (Nature 518)",
    equations=(
        r"y = r + \gamma\,(1 - \mathrm{terminated})\,\max_{b} Q(s', b; \theta^-)",
        r"L(\theta) = \mathbb{E}_{(s,a,r,s') \sim D}\big[\,h_\delta(y - Q(s, a; \theta))\,\big]",
        r"h_\delta(x) = \tfrac12 x^2 \;\text{if}\; |x| \le \delta, \;\text{else}\; \delta\,(|x| - \tfrac12 \delta)",
        r"r \leftarrow \mathrm{sign}(r)",
        r"\theta^- \leftarrow \theta \;\text{after every } C \text{ updates}",
    ),
    summary="Learns the value of every action from remembered moves towards a frozen copy of itself; the test judges "
            "the network that did best in validation.",
    summary_ja="過去の経験を無作為に取り出し、固定した自分の写しを目標にして、すべての行動の価値を学ぶ。"
               "テストでは検証で最も良かったネットワークを評価する。",
    topics=("rl.dqn", "rl.experience-replay", "rl.target-network", "rl.reward-clipping", "rl.huber-loss"),
    facts=(corridor_values, time_limit_is_no_end, nothing_beyond_the_end, target_stands_still, freezing_is_no_cure,
           huber_is_smooth, clipping_changes_the_best, memory_is_uniform, nature_size),
    notes=(
        "Huber's loss is printed with the condition |a| <= 1; it must be |a| <= delta, or the loss jumps at 1 and goes "
        "negative unless delta is 1.",
        "The loss is printed with the same parameters on both sides; the target is frozen and no gradient enters it.",
        "Four items per remembered move are not enough: whether the world ended is the fifth.",
        "One screen is not a Markov state; the newest frames are stacked.",
        "The frozen network is not used to find an action: only its largest value is used. Choosing by the learning "
        "network and valuing by the frozen one is double DQN.",
        "Clipping rewards changes the objective; scores are reported unclipped. CartPole's reward of 1 is unchanged.",
    ),
    notes_ja=(
        "Huber損失の条件は |a| <= 1 と印刷されているが、|a| <= δ が正しい。δ=1 以外では 1 で不連続になり、負にもなる。",
        "損失の両辺に同じ θ が書かれているが、目標は固定した θ^- で計算し、勾配を流さない。",
        "記憶する四つ組だけでは足りない。終端かどうかが五つ目に必要である。",
        "一枚の画面はマルコフ状態ではない。直近の数フレームを重ねる。",
        "固定ネットワークは行動 a を求めるためではなく、最大の価値だけを使う。"
        "学習中のネットワークで選び固定側で評価するのは Double DQN である。",
        "報酬のクリッピングは目的関数を変える。成績はクリップ前の報酬で数える。CartPole の報酬 1 は変わらない。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """World, schedule, network and update."""

    world: str = "CartPole-v1"
    """corridor, identity, two-state, temptation, catch, or the name of a Gymnasium world with discrete actions"""
    steps: int = 50_000
    """environment steps in all"""
    moves: int = 16
    """environment steps between two rounds of learning: one step of the program"""
    updates: int = 8
    """updates in a round"""
    batch_size: int = 64
    """remembered moves in an update"""
    memory: int = 50_000
    """moves the memory holds, older ones are forgotten; the paper's million of 84x84 pixels would need 56 GB here"""
    warmup: int = 1_000
    """moves before learning begins"""
    network: Literal["mlp", "small", "nips", "nature"] = "mlp"
    """mlp for numbers, small for 21x21 pixels, nips (2013) and nature (2015) for 84x84 pixels"""
    hidden: tuple[int, ...] = (128, 128)
    """widths of the hidden layers of mlp; none makes a table"""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """rmsprop is the paper's: centred, decay 0.95, 0.01 inside the root"""
    lr: float = 1e-3
    """step size of the optimiser"""
    gamma: float = 0.99
    """discount in (1)"""
    delta: float = 1.0
    """where Huber's loss (3) becomes straight; a narrow network with a small delta can outvote the ends and run away"""
    clip: Literal["sign", "limit", "none"] = "sign"
    """reward clipping (4): sign is the paper's, limit cuts at -1 and 1, none keeps the reward"""
    copy_every: int = 50
    """updates between two copies into the frozen network, C in (5)"""
    double: bool = False
    """choose the target's action by the learning network (double DQN)"""
    epsilon: float = 0.05
    """share of random moves in the end"""
    anneal: int = 5_000
    """moves over which the share of random moves falls from 1"""
    validate_every: int = 1_000
    """environment steps between two validations; the best network of all is kept for the test"""
    validation_episodes: int = 10
    """greedy episodes in a validation"""
    test_episodes: int = 100
    """greedy episodes in the test"""
    frames: int = 2
    """newest frames seen at once, for pixel worlds"""
    size: int = 21
    """height and width of a pixel world's frames, a multiple of 7"""
    seed: int = 0
    """decides weights, worlds, exploration and batches"""


VARIANTS = {
    "smoke": Setup(steps=800, moves=8, updates=4, warmup=200, hidden=(32, 32), copy_every=20, anneal=400,
                   validate_every=400, validation_episodes=2, test_episodes=4),
    "default": Setup(),
    "corridor": Setup(world="corridor", steps=1_600, moves=16, updates=16, batch_size=32, memory=1_000, warmup=100,
                      hidden=(), lr=0.02, gamma=0.9, copy_every=40, epsilon=1.0, validate_every=320),
    "catch": Setup(world="catch", network="small", steps=16_000, batch_size=32, memory=16_000, validation_episodes=50),
    "nature": Setup(world="catch", network="nature", frames=4, size=84, optimiser="rmsprop", lr=2.5e-4, batch_size=32,
                    steps=2_000_000, moves=4, updates=1, memory=10_000, warmup=5_000, copy_every=10_000, epsilon=0.1,
                    anneal=1_000_000),
}  # fmt: skip


def build(setup: Setup, place: Place = Place()) -> OffPolicy[DQN]:  # noqa: B008 - a frozen value
    """A world, a network and a schedule, in fp32. Raises UserError for an unknown world or a senseless number."""
    in_range(setup, ("steps", "moves", "updates", "batch_size", "memory", "warmup", "copy_every", "validate_every",
                     "validation_episodes", "test_episodes", "frames", "lr", "delta"), ("gamma", "epsilon"))
    if setup.steps < setup.moves:
        raise UserError("steps", f"{setup.steps} is less than the {setup.moves} moves of one step", "give more steps")
    make = world_maker(setup.world, setup.size, setup.frames)
    plan = Plan(budget=setup.steps, moves=setup.moves, updates=setup.updates, batch_size=setup.batch_size,
                capacity=setup.memory, warmup=setup.warmup, epsilon=setup.epsilon, anneal=setup.anneal,
                rhythm=setup.validate_every, episodes=(setup.validation_episodes, setup.test_episodes), seed=setup.seed,
                clip=partial(clipped, how=setup.clip))
    world = World(make(), setup.seed)
    with drawing_from(setup.seed, "network"):
        net = network(setup.network, world.shape, world.num_actions, setup.hidden).to(place.device)
    learner = DQN(net, descent(net, setup.optimiser, setup.lr), setup, place)
    return OffPolicy(learner, make, plan, place.device, partial(drawn, setup=setup))


def drawn(program: OffPolicy[DQN], setup: Setup) -> dict[str, np.ndarray]:
    """Pictures of the best network so far."""
    weights = program.best["weights"] if program.best else program.learner.weights()
    return pictures(value_function(program.learner.net, weights, program.device), program.make, setup.seed)
