r"""DCGAN: a forger draws pictures from noise, a judge tells them from real ones, and both are convolutional.

The judge D gives the log-odds a(x) that x is real; the forger G is moved to raise the odds of what it draws. Neither
is told what a picture looks like. Convolutions with stride take the place of pooling, batch normalisation stands
everywhere but at the generator's output and the discriminator's input, and all weights begin as N(0, 0.02^2).

    (1)  min_G max_D V = E_p log D(x) + E_z log(1 - D(G(z))),    D = sigmoid(a)
    (2)  D minimises -log D(x) - log(1 - D(G(z))) = softplus(-a(x)) + softplus(a(G(z)))
    (3)  G minimises -log D(G(z)) = softplus(-a(G(z))), not log(1 - D(G(z))), which is flat where G still loses
    (4)  D* = p / (p + q),    V* = 2 JS(p || q) - log 4
    (5)  slerp(u, v; t) = [sin((1-t) w) u + sin(t w) v] / sin w,    cos w = u.v / |u||v|

The surprise: D is not an end but an estimate of the density ratio p/q, and at the end of a won game it knows nothing:
D = 1/2 everywhere. Its loss then is log 4, and no curve of a loss says whether the pictures are good.

Radford, Metz and Chintala 2015, arXiv:1511.06434 (maps 1024-512-256-128, z in R^100, 5x5 kernels in its figure 1, Adam
2e-4 with b1 = 0.5, batches of 128, slope 0.2); Goodfellow et al. 2014, arXiv:1406.2661 (1 to 4); White 2016,
arXiv:1609.04468 (5). The half-width 4x4 form `paper64` is that of PyTorch's public example, z Gaussian as there.
"""

import copy
from dataclasses import dataclass
from math import log, pi
from typing import Literal, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_most, exactly
from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.batches import Batches
from shinso.data.examples import Dataset, Split, open_data, to_float
from shinso.generative._dcgan_networks import count, discriminator_network, doublings, generator_network, initialise
from shinso.generative._frechet import Features, fit_features, frechet
from shinso.generative._images import on_scale, sheet
from shinso.learn.adversarial import Adversarial, Objective, Side
from shinso.learn.supervised import Batch
from shinso.optim.adam import Adam


def minus_log_d(logits: Tensor) -> Tensor:
    """-log D per example."""
    return F.softplus(-logits.float() if logits.dtype == torch.bfloat16 else -logits)


def minus_log_not_d(logits: Tensor) -> Tensor:
    """-log(1 - D) per example."""
    return minus_log_d(-logits)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """(2) from log-odds on as many fakes as real examples; -(2) is the value (1)."""
    return minus_log_d(real).mean() + minus_log_not_d(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """(3) from log-odds on fakes."""
    return minus_log_d(fake).mean()


def saturating_loss(fake: Tensor) -> Tensor:
    """The generator's part of (1), for comparison with (3)."""
    return -minus_log_not_d(fake).mean()


def slerp(u: Tensor, v: Tensor, share: Tensor) -> Tensor:
    """(5) from vectors u to v (n, d) at shares (k,) of the way: (n, k, d). Between equal norms the norm stays."""
    cosine = F.cosine_similarity(u, v, dim=1).clamp(-1, 1)
    angle = cosine.acos().clamp(min=1e-6)[:, None, None]
    t = share[None, :, None]
    return (((1 - t) * angle).sin() * u[:, None] + (t * angle).sin() * v[:, None]) / angle.sin()


def resized(x: Tensor, size: int) -> Tensor:
    """Pictures (n, channels, height, width) brought to size x size."""
    if x.shape[2:] == (size, size):
        return x
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)


def judging(latent: int, size: int) -> Objective:
    """The discriminator's side of the game; real and fake pass apart, so that each batch has its own statistics."""

    def loss(forger: nn.Module, judge: nn.Module, batch: Batch, noise: torch.Generator) -> Tensor:
        real = resized(batch[0], size)
        with torch.no_grad():
            fake = forger(torch.randn(len(real), latent, generator=noise, device=real.device))
        return discriminator_loss(judge(real), judge(fake))  # (2)

    return loss


def forging(latent: int) -> Objective:
    """The generator's side: as many new fakes as the batch has real examples."""

    def loss(forger: nn.Module, judge: nn.Module, batch: Batch, noise: torch.Generator) -> Tensor:
        codes = torch.randn(len(batch[0]), latent, generator=noise, device=batch[0].device)
        return generator_loss(judge(forger(codes)))  # (3)

    return loss


@final
class Game:
    """Adversarial training of (2) against (3), and what can be shown and measured of it."""

    watched = ()

    def __init__(self, training: Adversarial, data: Dataset, setup: "Setup"):
        self.training, self.data, self.setup = training, data, setup
        self.total, self.rhythm, self.device = training.total, training.rhythm, training.place.device
        self.step, self.state, self.restore = training.step, training.state, training.restore
        self.networks, self.blame = training.networks, training.blame
        self.forger, self.judge = training.generator.network, training.discriminator.network
        self.features: Features | None = None

    @torch.no_grad()
    def evaluate(self, split: str) -> Record:
        """Both losses, the gap of mean log-odds between real and fake, and Frechet distances to the training part.

        Up to 1,000 pictures of the split beside as many fakes; `frechet_real` is the distance of the real ones, the
        figure that fakes could at best have. A copy of the discriminator judges batches of one kind by their own
        statistics, as in training: its running ones mix real and fake, and with them it would be another judge.
        A split of fewer than two pictures has no spread and no figures.
        """
        real = self._real(getattr(self.data, split), 1000)
        if len(real) < 2:
            return {}
        rng = generator(self.setup.seed, f"evaluate/{split}")
        fake = self._forge(torch.randn(len(real), self.setup.latent, generator=rng))
        judge = copy.deepcopy(self.judge)
        on_real, on_fake = (torch.cat([judge(part) for part in x.split(self.setup.batch_size)]) for x in (real, fake))
        if self.features is None:
            self.features = fit_features(self._real(self.data.train, 10_000), 32)
        return {
            "loss": generator_loss(on_fake), "loss_discriminator": discriminator_loss(on_real, on_fake),
            "logit_gap": on_real.mean() - on_fake.mean(),
            "frechet": frechet(self.features, fake), "frechet_real": frechet(self.features, real),
        }  # fmt: skip

    @torch.no_grad()
    def pictures(self) -> dict[str, np.ndarray]:
        """Fakes from noise that is always the same, ways between codes, and fakes above their nearest real pictures."""
        codes = torch.randn(100, self.setup.latent, generator=generator(self.setup.seed, "pictures"))
        fakes = self._forge(codes)
        scale = 2 if self.setup.size < 64 else 1
        way = slerp(codes[:8], codes[8:16], torch.linspace(0, 1, 10)).flatten(0, 1)
        drawn = {"samples": sheet((fakes + 1) / 2, 10, scale)}
        drawn["interpolation"] = sheet((self._forge(way) + 1) / 2, 10, scale)
        if len(self.data.train) > 0:
            real = self._real(self.data.train, 10_000)
            nearest = real[torch.cdist(fakes[:20].flatten(1), real.flatten(1)).argmin(1)]
            pairs = torch.stack([fakes[:20], nearest], 1).unflatten(0, (2, 10)).transpose(1, 2).flatten(0, 2)
            drawn["neighbours"] = sheet((pairs + 1) / 2, 10, scale)
        return drawn

    def example(self) -> dict[str, Tensor]:
        channels, size = self.data.about.shape[0], self.setup.size
        return {"generator": torch.zeros(2, self.setup.latent, device=self.device),
                "discriminator": torch.zeros(2, channels, size, size, device=self.device)}

    def _forge(self, codes: Tensor) -> Tensor:
        """Pictures in -1..1 from the generator in evaluation mode: nothing of it changes."""
        self.forger.eval()
        drawn = torch.cat([self.forger(part) for part in codes.to(self.device).split(250)]).float()
        self.forger.train()
        return drawn

    def _real(self, examples: Split, most: int) -> Tensor:
        """The first pictures of a split, at most so many, in -1..1 and in the size of the networks."""
        inputs = examples.pick(torch.arange(min(most, len(examples)))).to(self.device)
        parts = [resized(to_float(part, self.data.about), self.setup.size) for part in inputs.split(500)]
        return torch.cat(parts)


def generator_parameters() -> Check:
    """The 64x64 generator with latent 100 and width 64 has 3,576,704 parameters.
    Source: the sizes of PyTorch's public DCGAN example, counted layer by layer.
    """
    with torch.device("meta"):
        return exactly(count(generator_network(100, 64, 3, 64, 4)), 3_576_704)


def discriminator_parameters() -> Check:
    """The 64x64 discriminator with width 64 has 2,765,568 parameters.
    Source: the sizes of PyTorch's public DCGAN example, counted layer by layer.
    """
    with torch.device("meta"):
        return exactly(count(discriminator_network(64, 3, 64, 4)), 2_765_568)


def maps_double() -> Check:
    """From the code on, the maps of the 64x64 generator are 1, 4, 8, 16, 32 and 64 wide: how many of the six differ.
    Source: Radford, Metz and Chintala 2015, figure 1.
    """
    x, sizes = torch.zeros(1, 100, 1, 1, device="meta"), [1]
    for layer in generator_network(100, 64, 3, 64, 4).to("meta"):
        if isinstance(layer, nn.ConvTranspose2d):
            x = layer(x)
            sizes.append(x.shape[-1])
    return exactly(sum(a != b for a, b in zip(sizes, (1, 4, 8, 16, 32, 64), strict=True)), 0)


def kernels_begin_small() -> Check:
    """Every kernel begins as N(0, 0.02^2): the standard deviation over both networks.
    Source: Radford, Metz and Chintala 2015, section 4.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = [generator_network(100, 32, 1, 28, 4), discriminator_network(32, 1, 28, 4)]
        for network in networks:
            initialise(network)
    kernels = [w.detach().flatten() for network in networks for w in network.parameters() if w.dim() == 4]
    return about(float(torch.cat(kernels).square().mean().sqrt()), 0.02, 2e-4)


def judge_learns_the_ratio() -> Check:
    """A discriminator trained by (2) on N(0, 1) against N(1, 1.5^2) comes within 0.02 of p/(p+q) where p + q > 0.01.
    Source: Goodfellow et al. 2014, proposition 1; 2 x 2,000 quantiles as data, a network 1-16-1, L-BFGS.
    """
    quantiles = torch.special.ndtri((torch.arange(2000, dtype=torch.float64)[:, None] + 0.5) / 2000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    optimiser = torch.optim.LBFGS(judge.parameters(), max_iter=80, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = discriminator_loss(judge(quantiles), judge(1 + 1.5 * quantiles))
        loss.backward()
        return loss

    optimiser.step(closure)
    x, p, q = _gaussian_pair()
    with torch.no_grad():
        apart = (judge(x[:, None])[:, 0].sigmoid() - p / (p + q)).abs()
    return at_most(float(apart[p + q > 0.01].max()), 0.02)


def value_is_divergence() -> Check:
    """At D = p/(p+q) the value (1) of N(0, 1) against N(1, 1.5^2) is 2 JS - log 4, to 1e-10.
    Source: Goodfellow et al. 2014, theorem 1; both sides by quadrature.
    """
    x, p, q = _gaussian_pair()
    logits = p.log() - q.log()
    value = -torch.trapezoid(p * minus_log_d(logits) + q * minus_log_not_d(logits), x)
    middle = (p + q) / 2
    twice_js = torch.trapezoid(p * (p / middle).log() + q * (q / middle).log(), x)
    return about(float(value), float(twice_js) - log(4), 1e-10)


def a_won_game_has_no_better_judge() -> Check:
    """When fakes are real no discriminator has a value above -log 4, which D = 1/2 reaches: the best of 1,000 others.
    Source: Goodfellow et al. 2014, theorem 1.
    """
    logits = torch.randn(1000, 64, generator=generator(0, "judges"), dtype=torch.float64)
    half = -discriminator_loss(torch.zeros(64).double(), torch.zeros(64).double())
    best = max(float(-discriminator_loss(row, row)) for row in logits)
    return at_most(best if abs(float(half) + log(4)) < 1e-15 else 0.0, -log(4))


def losing_forger_keeps_its_gradient() -> Check:
    """At D(G(z)) = 1e-4 the gradient on the log-odds is 1 - 1e-4 by (3) and 1e-4 by (1): their ratio is 9,999.
    Source: Goodfellow et al. 2014, section 3.
    """
    logit = torch.tensor([log(1e-4 / (1 - 1e-4))], dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(generator_loss(logit), logit)
    (theirs,) = torch.autograd.grad(saturating_loss(logit), logit)
    return about(float(ours / theirs), 9999.0, 1e-6)


def slerp_stays_on_the_shell() -> Check:
    """Between codes of equal norm, (5) keeps the norm: largest relative deviation over 100 pairs in R^100.
    Source: White 2016, arXiv:1609.04468.
    """
    ends = F.normalize(torch.randn(200, 100, generator=generator(0, "ends"), dtype=torch.float64), dim=1) * 10
    norms = slerp(ends[:100], ends[100:], torch.linspace(0, 1, 11).double()).norm(dim=2)
    return at_most(float((norms / 10 - 1).abs().max()), 1e-6)


def _gaussian_pair() -> tuple[Tensor, Tensor, Tensor]:
    """A grid and the densities of N(0, 1) and N(1, 1.5^2) on it."""
    x = torch.linspace(-16, 18, 6801, dtype=torch.float64)
    p = (-0.5 * x.square()).exp() / (2 * pi) ** 0.5
    return x, p, (-0.5 * ((x - 1) / 1.5).square()).exp() / (1.5 * (2 * pi) ** 0.5)


CARD = Card(
    name="Deep convolutional GAN (DCGAN)",
    name_ja="深層畳み込み敵対的生成ネットワーク（DCGAN）",
    paper="Radford, Metz and Chintala 2015, arXiv:1511.06434",
    equations=(
        r"\min_G \max_D V = \mathbb{E}_p \log D(x) + \mathbb{E}_z \log(1 - D(G(z))),\quad D = \sigma(a)",
        r"L_D = \mathrm{softplus}(-a(x)) + \mathrm{softplus}(a(G(z)))",
        r"L_G = \mathrm{softplus}(-a(G(z)))",
        r"D^* = \frac{p}{p+q},\quad V^* = 2\,\mathrm{JS}(p \| q) - \log 4",
        r"\mathrm{slerp}(u, v; t) = \frac{\sin((1-t)w)\,u + \sin(tw)\,v}{\sin w}",
    ),
    summary="Learns to draw pictures by a contest of two convolutional networks, one that forges and one that judges.",
    summary_ja="画像を作る生成器と真偽を見分ける識別器、二つの畳み込みネットワークを競わせて画像生成を学ぶ。",
    topics=("generative.gan", "generative.gan-optimal-discriminator", "generative.gan-nonsaturating",
            "generative.js-divergence"),
    facts=(generator_parameters, discriminator_parameters, maps_double, kernels_begin_small, judge_learns_the_ratio,
           value_is_divergence, a_won_game_has_no_better_judge, losing_forger_keeps_its_gradient,
           slerp_stays_on_the_shell),
    notes=(
        "Printed: max_D V = JS(p, q). It is 2 JS - log 4.",
        "Printed: f = x log x - (1+x) log((1+x)/2) for the JS divergence of two halves. That f gives 2 JS.",
        "Printed: noise z drawn from p_x. It is drawn from the prior p_z.",
        "Only log(1 - D(G(z))) is printed for the generator; it stalls while D wins, so -log D(G(z)) is minimised.",
    ),
    notes_ja=(
        "資料の max_D V = JS(p, q) は誤りで、正しくは 2 JS - log 4 である。",
        "資料の f = x log x - (1+x) log((1+x)/2) が与えるのは JS ではなく 2 JS である。",
        "資料では雑音 z が p_x に従うとあるが、正しくは事前分布 p_z に従う。",
        "資料にある生成器の目的関数は log(1 - D(G(z))) だけで、識別器が優勢な間は勾配が消える。"
        "そのため -log D(G(z)) を最小化する。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run of this system can be told."""

    data: str = "digits"
    """images to learn from; pixels are read on the scale -1..1"""
    size: int = 28
    """height and width of the pictures; data of another size are resized"""
    latent: int = 64
    """dimensions of the code z ~ N(0, I)"""
    width: int = 32
    """maps next to the picture in both networks; they double with every halving of the size"""
    kernel: Literal[4, 5] = 4
    """side of the strided kernels: 4 as in PyTorch's example, 5 as in the paper's figure"""
    epochs: int = 60
    """passes over the training part"""
    batch_size: int = 32
    """real pictures per update of the discriminator"""
    updates: int = 1
    """updates of the discriminator per step"""
    lr: float = 5e-4
    """step size of both Adams; the paper's is 2e-4, the small networks bear more"""
    beta1: float = 0.5
    """momentum of both Adams"""
    seed: int = 0
    """seed of weights, order and noise"""


VARIANTS = {
    "smoke": Setup(size=16, latent=8, width=4, epochs=2, batch_size=64),
    "default": Setup(),
    "mnist": Setup(data="mnist", epochs=4, batch_size=64, lr=1e-3),
    "paper64": Setup(data="mnist", size=64, latent=100, width=64, epochs=5, batch_size=128, lr=2e-4),
    "paper64_wide": Setup(data="mnist", size=64, latent=100, width=128, kernel=5, epochs=5, batch_size=128, lr=2e-4),
}


def build(setup: Setup, place: Place = Place()) -> Game:  # noqa: B008 - a frozen value
    """Both networks for the images of `setup.data`, each with its Adam, and their game."""
    in_range(setup, ("latent", "width", "epochs", "batch_size", "updates", "lr"), ("beta1",))
    if setup.size >> doublings(setup.size) > 7 or doublings(setup.size) == 0:
        raise UserError("--size", f"{setup.size} is not 2 to 7 doubled a few times", "use for example 16, 28, 32 or 64")
    data = on_scale(open_data(setup.data), -1, 1)
    channels = data.about.shape[0]
    with drawing_from(setup.seed, "weights"):
        forger = generator_network(setup.latent, setup.width, channels, setup.size, setup.kernel)
        judge = discriminator_network(setup.width, channels, setup.size, setup.kernel)
        initialise(forger)
        initialise(judge)
    forging_side = _side(forger, forging(setup.latent), setup, place)
    judging_side = _side(judge, judging(setup.latent, setup.size), setup, place)
    batches = Batches(data.train, data.about, setup.batch_size, seed=setup.seed, device=place.device)
    training = Adversarial(forging_side, judging_side, batches, epochs=setup.epochs, updates=setup.updates,
                           seed=setup.seed, place=place)
    return Game(training, data, setup)


def _side(network: nn.Module, objective: Objective, setup: Setup, place: Place) -> Side:
    network.to(device=place.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if place.compile:
        network.compile()
    optimiser = Adam(network.parameters(), lr=setup.lr, betas=(setup.beta1, 0.999), fused=True)
    return Side(network=network, optimiser=optimiser, objective=objective)
