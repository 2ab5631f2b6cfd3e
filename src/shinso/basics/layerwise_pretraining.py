r"""Layer-wise pre-training: first weights from a stack of autoencoders (Hinton, Salakhutdinov 2006; Bengio 2007).

    h_k = s(W_k h_{k-1} + b_k),   h_0 = x,   s(z) = 1 / (1 + e^-z)                                  (1)
    autoencoder k:  min over W_k, b_k and a decoder of  ||D_k h_k + c_k - h_{k-1}||^2               (2)

One layer at a time learns to keep what the layer below says; then the encoders are stacked, an output layer is put on
top, and all of it is trained on the labels. The surprise: no label was needed for the hard part. From random weights a
deep sigmoid network says nearly the same for every input and does not know where to go; the stack has kept the inputs
apart. (ReLU, normalisation and better starts made it unnecessary for most purposes.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shinso.core.card import Card, Check, at_least, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.figure import pixels, sheet
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.digits import originals
from shinso.optim.adam import Adam

KNOWN = 1200
"""digits to learn from; the other 597 judge"""


@final
class Sigmoids(nn.Module):
    """(1) with an output layer: (batch, sizes[0]) -> (batch, sizes[-1])."""

    def __init__(self, sizes: Sequence[int]):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[-1](self.code(x, len(self.layers) - 1))

    def code(self, x: Tensor, depth: int) -> Tensor:
        """h_depth of (1)."""
        for layer in self.layers[:depth]:
            x = layer(x).sigmoid()  # (1)
        return x


def stacked(encoders: Sequence[nn.Linear], net: Sigmoids) -> None:
    """Copies the encoders' weights into the first layers of `net`, bit for bit."""
    with torch.no_grad():
        for encoder, layer in zip(encoders, net.layers, strict=False):
            for theirs, mine in zip(encoder.parameters(), layer.parameters(), strict=True):
                mine.copy_(theirs)


@final
class Greedy:
    """Autoencoder after autoencoder; then the stack and a random twin learn the labels on the same batches."""

    def __init__(self, setup: "Setup"):
        self.setup = setup
        sizes = (64, *setup.hidden)
        self.stages = len(setup.hidden)
        self.total = self.stages * setup.pretrain + setup.steps
        images, labels = originals()
        self.x, self.y = torch.from_numpy(images.reshape(-1, 64) / np.float32(16)), torch.from_numpy(labels)
        with drawing_from(setup.seed, "weights"):
            self.stack, self.random = Sigmoids((*sizes, 10)), Sigmoids((*sizes, 10))
            self.encoders = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
            self.decoders = nn.ModuleList(nn.Linear(m, n) for n, m in pairwise(sizes))
        self.random.layers[-1].load_state_dict(self.stack.layers[-1].state_dict())
        pairs = zip(self.encoders, self.decoders, strict=True)
        self.rules = [Adam([*e.parameters(), *d.parameters()], lr=setup.lr_codes, fused=True) for e, d in pairs]
        self.rules += [Adam(net.parameters(), lr=setup.lr, fused=True) for net in (self.stack, self.random)]

    def step(self, i: int) -> Record:
        rows = torch.randint(KNOWN, (50,), generator=generator(self.setup.seed, f"batch/{i}"))
        stage = min(i // self.setup.pretrain, self.stages)
        if stage < self.stages:
            return {"stage": float(stage + 1), "reconstruction": self._encode(stage, self.x[rows])}
        if i == self.stages * self.setup.pretrain:
            stacked(self.encoders, self.stack)  # pyright: ignore[reportArgumentType]
        losses = [self._label(net, rule, rows) for net, rule in
                  zip((self.stack, self.random), self.rules[-2:], strict=True)]
        return {"stage": float(stage + 1), "loss": losses[0], "loss_random": losses[1]}

    def _encode(self, k: int, x: Tensor) -> Tensor:
        """One step of (2) for layer k + 1, on the codes of the layers below."""
        with torch.no_grad():
            below = self.codes(x, k)
        self.rules[k].zero_grad()
        loss = F.mse_loss(self.decoders[k](self.encoders[k](below).sigmoid()), below)  # (2)
        loss.backward()
        self.rules[k].step()
        return loss.detach()

    def codes(self, x: Tensor, depth: int) -> Tensor:
        """What the first `depth` encoders make of x."""
        for encoder in self.encoders[:depth]:
            x = encoder(x).sigmoid()
        return x

    def _label(self, net: Sigmoids, rule: Adam, rows: Tensor) -> Tensor:
        rule.zero_grad()
        loss = F.cross_entropy(net(self.x[rows]), self.y[rows])
        loss.backward()
        rule.step()
        return loss.detach()

    @torch.no_grad()
    def unseen(self, net: Sigmoids) -> tuple[float, float]:
        """(loss, accuracy) on the digits that were not learned from."""
        logits = net(self.x[KNOWN:])
        return float(F.cross_entropy(logits, self.y[KNOWN:])), \
            float((logits.argmax(1) == self.y[KNOWN:]).float().mean())

    def state(self) -> dict[str, Any]:
        return {"networks": {name: net.state_dict() for name, net in self._parts().items()},
                "rules": [rule.state_dict() for rule in self.rules]}

    def restore(self, state: dict[str, Any]) -> None:
        for name, net in self._parts().items():
            net.load_state_dict(state["networks"][name])
        for rule, kept in zip(self.rules, state["rules"], strict=True):
            rule.load_state_dict(kept)

    def _parts(self) -> dict[str, nn.Module]:
        return {"stack": self.stack, "random": self.random, "encoders": self.encoders, "decoders": self.decoders}

    def networks(self) -> dict[str, nn.Module]:
        return {"stack": self.stack, "random": self.random}

    def example(self) -> dict[str, Tensor]:
        return {"stack": self.x[:2], "random": self.x[:2]}

    def pictures(self) -> dict[str, np.ndarray]:
        """Both loss curves after the stacking, from a second run that looks at unseen digits all the way."""
        again, rows = Greedy(self.setup), []
        for i in range(again.total):
            again.step(i)
            done = i + 1 - again.stages * self.setup.pretrain
            if done == 1 or (done > 0 and done % 10 == 0):
                rows.append((done, again.unseen(again.stack)[0], again.unseen(again.random)[0]))
        figure = sheet(800, 360)
        axes = figure.subplots()
        at = np.array(rows)
        axes.plot(at[:, 0], at[:, 1], label="stacked autoencoders / 自己符号化器を積む")
        axes.plot(at[:, 0], at[:, 2], label="random weights / ランダムな重み")
        axes.set(xlabel="step with labels / ラベルを使うステップ", ylabel="loss on unseen digits / 未知の数字の損失",
                 ylim=(0, None))
        axes.legend()
        return {"stack": pixels(figure)}


@cache
def _trained() -> tuple[Greedy, Tensor]:
    """A small run up to the stacking, and what its encoders make of all digits."""
    program = Greedy(Setup(hidden=(64, 48, 32), pretrain=200, steps=1))
    for i in range(3 * 200):
        program.step(i)
    with torch.no_grad():
        codes = program.codes(program.x, 3)
    stacked(program.encoders, program.stack)  # pyright: ignore[reportArgumentType]
    return program, codes


def the_stack_is_the_encoders() -> Check:
    """After copying, the deep net's last hidden layer equals the encoders' codes of all 1,797 digits, bit for bit.

    Source: Bengio et al. 2007, section 2
    """
    program, codes = _trained()
    with torch.no_grad():
        return exactly(float((program.stack.code(program.x, 3) - codes).abs().max()), 0.0)


@torch.no_grad()
def _readable(codes: Tensor, y: Tensor) -> float:
    """The squared error on unseen digits of the best linear map from codes to answers, with a touch of ridge."""
    H = torch.cat([codes, torch.ones(len(codes), 1)], 1).double()
    answers = F.one_hot(y, 10).double()
    known = H[:KNOWN]
    W = torch.linalg.solve(known.T @ known + 1e-6 * torch.eye(H.shape[1], dtype=H.dtype), known.T @ answers[:KNOWN])
    return float((H[KNOWN:] @ W - answers[KNOWN:]).square().mean())


def the_stack_starts_lower() -> Check:
    """Before any label moved a hidden weight, the best output layer leaves at most 0.9 of the random net's error.

    Source: Hinton and Salakhutdinov 2006; Bengio et al. 2007, section 4
    """
    program, codes = _trained()
    with torch.no_grad():
        blind = program.random.code(program.x, 3)
    return at_most(_readable(codes, program.y) / _readable(blind, program.y), 0.9)


def random_depth_says_the_same_for_all() -> Check:
    """The stack's last codes vary over the digits at least 5 times as much (standard deviation) as the random net's.

    Source: Glorot and Bengio 2010, section 3, on sigmoids
    """
    program, codes = _trained()
    with torch.no_grad():
        return at_least(float(codes.std(0).mean() / program.random.code(program.x, 3).std(0).mean()), 5.0)


CARD = Card(
    name="Layer-wise pre-training",
    name_ja="層ごとの事前学習 (自己符号化器による初期化)",
    paper="Hinton and Salakhutdinov 2006, Science 313; Bengio, Lamblin, Popovici, Larochelle 2007, NIPS 19",
    equations=(
        r"h_k = \sigma(W_k h_{k-1} + b_k),\quad h_0 = x",
        r"\min_{W_k, b_k, D_k, c_k} \|D_k h_k + c_k - h_{k-1}\|^2",
    ),
    summary="Learns the first weights of a deep net one layer at a time, without labels, by autoencoders.",
    summary_ja="深いネットワークの初期重みを、自己符号化器により、ラベルなしで一層ずつ学習する。",
    topics=("learn.layerwise-pretraining",),
    facts=(the_stack_is_the_encoders, the_stack_starts_lower, random_depth_says_the_same_for_all),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A deep sigmoid network on digits of 8 x 8 pixels."""

    hidden: tuple[int, ...] = (100, 60, 40, 30, 20)
    """units of the hidden layers, each the code of one autoencoder"""
    pretrain: int = 300
    """steps of Adam for each autoencoder"""
    steps: int = 400
    """steps with labels, for the stack and for its random twin"""
    lr_codes: float = 0.01
    """learning rate of the autoencoders"""
    lr: float = 0.002
    """learning rate with labels"""
    seed: int = 0
    """of the first weights and the batches"""


VARIANTS = {"smoke": Setup(hidden=(24, 16), pretrain=15, steps=20), "default": Setup()}


def build(setup: Setup, place: Place = Place()) -> Greedy:  # noqa: B008 - a frozen value
    """Both stages, on the CPU: the networks are too small for anything else."""
    in_range(setup, ("pretrain", "steps", "lr_codes", "lr"))
    if not setup.hidden or min(setup.hidden) < 1:
        raise UserError("hidden", f"{setup.hidden} are no layers", "give numbers of units, for example 64,32")
    return Greedy(setup)
