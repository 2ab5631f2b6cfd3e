r"""The variational autoencoder: a picture is the noisy image of a code, and the code of a picture is a small Gaussian.

The decoder draws pixels from Bernoulli distributions given a code z ~ N(0, I). Nobody can sum over all codes, so an
encoder guesses, for each picture, the Gaussian that the code came from, and the bound (1) is raised instead of the
likelihood. The guess is sampled through (3), so that the gradient passes through the draw.

    (1)  log p(x) >= E_q log p(x|z) - KL(q(z|x) || p(z)),    q(z|x) = N(m(x), diag s(x)^2)
    (2)  KL = -1/2 sum_j (1 + log s_j^2 - m_j^2 - s_j^2)
    (3)  z = m + s * e,    e ~ N(0, I)
    (4)  -log p(x|z) = sum_i [max(a_i, 0) - a_i x_i + log(1 + exp(-|a_i|))],    a = decoder(z), y = sigmoid(a)

The surprise: the regulariser is not chosen, it falls out of the bound; and the price of a code, in nats, can be read
off per dimension. Dimensions that the network does not need cost nothing and carry nothing: they have collapsed.

Kingma and Welling 2013, arXiv:1312.6114; the sizes 784-400-20 are those of PyTorch's public example.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import log, pi, prod
from typing import cast, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shinso.core.card import Card, Check, about, at_least, at_most, exactly
from shinso.core.place import Place
from shinso.core.record import Record
from shinso.core.seed import drawing_from, generator
from shinso.core.setup import in_range
from shinso.data.batches import sweep
from shinso.data.examples import open_data, to_float
from shinso.generative._images import on_scale
from shinso.generative._walks import draw
from shinso.learn.supervised import Batch, Plan, Supervised, Task
from shinso.optim.adam import Adam


@final
class Encoder(nn.Module):
    """Pictures in 0..1 (n, *shape) -> (n, 2, latent): means m and log-variances log s^2."""

    def __init__(self, pixels: int, hidden: int, latent: int):
        super().__init__()
        self.hidden = nn.Linear(pixels, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> Tensor:
        h = self.hidden(x.flatten(1)).relu()
        return torch.stack([self.mean(h), self.log_variance(h)], dim=1)


@final
class Decoder(nn.Module):
    """Codes (n, latent) -> logits a of the pixels (n, *shape)."""

    def __init__(self, latent: int, hidden: int, shape: tuple[int, ...]):
        super().__init__()
        self.shape = shape
        self.hidden = nn.Linear(latent, hidden)
        self.pixels = nn.Linear(hidden, prod(shape))

    def forward(self, z: Tensor) -> Tensor:
        return self.pixels(self.hidden(z).relu()).unflatten(1, self.shape)


@final
class VAE(nn.Module):
    """Encoder and decoder of pictures of one shape."""

    def __init__(self, shape: tuple[int, ...], hidden: int, latent: int):
        super().__init__()
        self.encoder = Encoder(prod(shape), hidden, latent)
        self.decoder = Decoder(latent, hidden, shape)
        self.latent = latent

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), (n, latent) each, in single precision or better."""
        code = self.encoder(x)
        mean, log_variance = code.to(torch.promote_types(code.dtype, torch.float32)).unbind(1)
        return mean, log_variance

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the reconstruction from the mean code."""
        return self.decoder(self.posterior(x)[0])


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(m, s^2) || N(0, 1)) per element, in nats; expm1 keeps it from falling below 0 near s = 1. (2)"""
    return 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance)


def reparameterise(mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> Tensor:
    """A draw from N(m, s^2) that is differentiable in both. (3)"""
    noise = torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
    return mean + (0.5 * log_variance).exp() * noise


def bernoulli_nll(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x|z) per pixel, in nats, from logits: finite however sure the decoder is. (4)"""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def terms(model: VAE, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """One-sample reconstruction (n,) and exact KL per latent dimension (n, latent); their sum bounds -log p(x)."""
    mean, log_variance = model.posterior(x)
    logits = model.decoder(reparameterise(mean, log_variance, rng))
    return bernoulli_nll(logits, x).flatten(1).sum(1), gaussian_kl(mean, log_variance)


def log_weights(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) + log p(z) - log q(z|x) for codes z (k, n, latent) of pictures x (n, *shape): (k, n)."""
    mean, log_variance = model.posterior(x)
    logits = model.decoder(z.flatten(0, 1)).unflatten(0, z.shape[:2])
    likelihood = -bernoulli_nll(logits, x.expand_as(logits)).flatten(2).sum(2)
    scaled = (z - mean) * (-0.5 * log_variance).exp()
    return likelihood + 0.5 * (scaled.square() - z.square() + log_variance).sum(2)


def importance_bound(log_weight: Tensor) -> Tensor:
    """The importance-weighted bound log 1/k sum_k w from log-weights (k, n): k = 1 is the ELBO (1509.00519)."""
    return log_weight.logsumexp(0) - log(len(log_weight))


@final
class Autoencoding:
    """Supervised training of (1), and what a VAE can show beside it."""

    def __init__(self, model: VAE, training: Supervised, seed: int):
        self.model, self.training, self.seed = model, training, seed
        self.data, self.device, self.blame = training.data, training.place.device, training.blame
        self.total, self.rhythm, self.watched = training.total, training.rhythm, training.watched
        self.step, self.state, self.restore = training.step, training.state, training.restore

    def evaluate(self, split: str) -> Record:
        """Negative ELBO with its two terms, nats per picture, and how many latent dimensions cost under 0.01 nats."""
        measured = self.training.evaluate(split)
        return {**measured, "collapsed_dimensions": (self._cost_of_dimensions(split) < 0.01).sum()} if measured else {}

    def networks(self) -> dict[str, nn.Module]:
        return {"encoder": self.model.encoder, "decoder": self.model.decoder}

    def example(self) -> dict[str, Tensor]:
        x = torch.zeros(2, *self.data.about.shape, device=self.device)
        return {"encoder": x, "decoder": torch.zeros(2, self.model.latent, device=self.device)}

    def pictures(self) -> dict[str, np.ndarray]:
        """Samples, walks through the codes and, with test pictures at hand, their reconstructions."""
        x, test = None, self.data.test
        if len(test) > 0:
            x = to_float(test.pick(torch.arange(40) % len(test)).to(self.device), self.data.about)
        busiest = self._cost_of_dimensions("test").argsort(descending=True)[:10].tolist()
        return draw(self.model.posterior, self._decode, self.model.latent, self.seed, x, busiest)

    def _decode(self, z: Tensor) -> Tensor:
        return self.model.decoder(z.to(self.device)).float().sigmoid().cpu()

    @torch.no_grad()
    def _cost_of_dimensions(self, split: str) -> Tensor:
        """Mean KL of each latent dimension over a split, (latent,) in nats."""
        examples = getattr(self.data, split)
        cost = torch.zeros(self.model.latent, device=self.device)
        for x, _ in sweep(examples, self.data.about, 500, self.device):
            cost += gaussian_kl(*self.model.posterior(x)).sum(0)
        return cost / max(1, len(examples))


def objective(beta: float) -> Callable[[nn.Module, Batch, torch.Generator], dict[str, Tensor]]:
    """(1) negated, in nats per picture; beta other than 1 adds its surplus of KL as a third term (beta-VAE)."""

    def loss(model: nn.Module, batch: Batch, noise: torch.Generator) -> dict[str, Tensor]:
        reconstruction, kl = terms(cast(VAE, model), batch[0], noise)
        parts = {"reconstruction": reconstruction.mean(), "kl": kl.sum(1).mean()}
        return parts if beta == 1 else {**parts, "kl_surplus": (beta - 1) * parts["kl"]}

    return loss


def measure(model: nn.Module, batch: Batch, noise: torch.Generator) -> dict[str, Tensor]:
    """One-sample negative ELBO of each picture and its two terms, whatever beta the training used."""
    reconstruction, kl = terms(cast(VAE, model), batch[0], noise)
    return {"loss": reconstruction + kl.sum(1), "reconstruction": reconstruction, "kl": kl.sum(1)}


def example_parameters() -> Check:
    """The network 784-400-(20, 20)-400-784 has 652,824 parameters.
    Source: the sizes of PyTorch's public VAE example, counted layer by layer.
    """
    with torch.device("meta"):
        return exactly(sum(p.numel() for p in VAE((1, 28, 28), 400, 20).parameters()), 652_824)


def kl_is_the_integral() -> Check:
    """(2) for N(1, 1.5^2) equals the integral of q log(q / p) to 1e-10.
    Source: Kingma and Welling 2013, appendix B.
    """
    z = torch.linspace(-20, 22, 4001, dtype=torch.float64)
    log_q = -0.5 * ((z - 1) / 1.5).square() - log(1.5)
    integral = torch.trapezoid(log_q.exp() * (log_q + 0.5 * z.square()) / (2 * pi) ** 0.5, z)
    ours = gaussian_kl(torch.ones(1).double(), torch.tensor([2 * log(1.5)], dtype=torch.float64))
    return about(float(ours), float(integral), 1e-10)


def kl_is_never_negative() -> Check:
    """(2) is 0 at m = 0, s = 1 and above 0 on 10,000 random pairs, those next to that point included.
    Source: Kullback and Leibler 1951.
    """
    rng = generator(0, "kl")
    shrink = torch.logspace(-6, 0, 10_000, dtype=torch.float64)
    mean, log_variance = (4 * shrink * torch.randn(10_000, generator=rng, dtype=torch.float64) for _ in range(2))
    at_origin = float(gaussian_kl(torch.zeros(1), torch.zeros(1)))
    return at_least(float(gaussian_kl(mean, log_variance).min()) if at_origin == 0 else -1.0, 1e-30)


def loss_is_reconstruction_plus_kl() -> Check:
    """Each term of the loss equals its textbook formula written out in float64, and the loss is their sum.
    Source: (1) to (4); largest absolute difference in nats.
    """
    model = _tiny(pixels=12, latent=3)
    x = torch.rand(50, 12, generator=generator(0, "x"), dtype=torch.float64)
    named = objective(1.0)(model, (x, x), generator(1, "noise"))
    m, v = model.posterior(x)
    e = torch.randn(m.shape, generator=generator(1, "noise"), dtype=torch.float64)
    y = 1 / (1 + (-model.decoder(m + v.exp().sqrt() * e)).exp())
    reconstruction = -(x * y.log() + (1 - x) * (1 - y).log()).sum(1).mean()
    kl = -0.5 * (1 + v - m**2 - v.exp()).sum(1).mean()
    loss = torch.stack([*named.values()]).sum()
    apart = (named["reconstruction"] - reconstruction, named["kl"] - kl, loss - reconstruction - kl)
    return at_most(max(abs(float(a)) for a in apart), 1e-10)


def sure_decoders_stay_finite() -> Check:
    """At logits of +-1000 the loss per pixel is 1000 or 0 and its gradient sigmoid(a) - x; the naive form is infinite.
    Source: (4); largest absolute error over the four cases, in float32.
    """
    logits = torch.tensor([1000.0, 1000.0, -1000.0, -1000.0], requires_grad=True)
    x = torch.tensor([0.0, 1.0, 0.0, 1.0])
    loss = bernoulli_nll(logits, x)
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    wrong = torch.cat([loss.detach() - torch.tensor([1000.0, 0, 0, 1000.0]), slope - torch.tensor([1.0, 0, 0, -1.0])])
    return at_most(float(wrong.abs().max()), 0.0)


def gradient_passes_through_the_draw() -> Check:
    """The mean gradient of z^2 through (3) is (2m, 2s), within four standard errors of 100,000 draws.
    Source: Kingma and Welling 2013, section 2.4; the distance is given in standard errors.
    """
    mean = torch.full((100_000,), 1.0, dtype=torch.float64, requires_grad=True)
    log_variance = torch.full((100_000,), log(1.5**2), dtype=torch.float64, requires_grad=True)
    z = reparameterise(mean, log_variance, generator(0, "draw"))
    by_mean, by_log_variance = torch.autograd.grad(z.square().sum(), [mean, log_variance])
    by_s = by_log_variance * 2 / 1.5  # ds = s / 2 * d log s^2
    apart = [(g.mean() - true) / (g.std() / len(g) ** 0.5) for g, true in ((by_mean, 2.0), (by_s, 3.0))]
    return at_most(max(abs(float(a)) for a in apart), 4.0)


def bound_and_gap() -> Check:
    """ELBO = log p(x) - KL(q || posterior) for every picture of six pixels, to 1e-10; so the ELBO never exceeds log p.
    Source: Kingma and Welling 2013, equation (1); log p(x), the posterior and E_q by quadrature over a 1-D code.
    """
    elbo, log_p, gap = _six_pixels()
    return at_most(float((elbo - (log_p - gap)).abs().max()), 1e-10)


def elbo_below_likelihood() -> Check:
    """The ELBO stays below log p(x) for every picture of six pixels: largest ELBO - log p(x).
    Source: Kingma and Welling 2013, equation (2); log p(x) by quadrature.
    """
    elbo, log_p, _ = _six_pixels()
    return at_most(float((elbo - log_p).max()), 0.0)


def more_samples_tighten() -> Check:
    """The importance-weighted bound rises from 1 to 5 to 50 samples: smallest rise in standard errors.
    Source: Burda, Grosse and Salakhutdinov 2015, arXiv:1509.00519, theorem 1.
    """
    model, x, bounds = _tiny(pixels=6, latent=1), EVERY_PICTURE, []
    for k in (1, 5, 50):
        m, v = (t.repeat(40, 1).expand(k, -1, -1) for t in model.posterior(x))
        z = reparameterise(m, v, generator(k, "importance"))
        bounds.append(importance_bound(log_weights(model, x.repeat(40, 1), z)).view(40, -1).mean(1))
    rises = [(b.mean() - a.mean()) / ((a.var() + b.var()) / 40).sqrt() for a, b in pairwise(bounds)]
    return at_least(min(map(float, rises)), 4.0)


def _tiny(pixels: int, latent: int) -> VAE:
    """A small network in float64 with weights large enough that q is a bad guess."""
    model = VAE((pixels,), hidden=8, latent=latent).double()
    rng = generator(0, "tiny")
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.5, generator=rng)
    return model.requires_grad_(False)


EVERY_PICTURE = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 6)  # of six pixels


def _six_pixels() -> tuple[Tensor, Tensor, Tensor]:
    """ELBO, log p(x) and KL(q || posterior) of every picture, (64,) each, by quadrature over a one-dimensional code."""
    model, x = _tiny(pixels=6, latent=1), EVERY_PICTURE
    z = torch.linspace(-40, 40, 8001, dtype=torch.float64)[:, None]
    m, v = model.posterior(x)
    log_q = -0.5 * ((z - m.T).square() / v.T.exp() + v.T + log(2 * pi))
    log_joint = log_weights(model, x, z[:, None].expand(-1, 64, -1)) + log_q
    nll = bernoulli_nll(model.decoder(z)[:, None].expand(-1, 64, -1), x.expand(len(z), -1, -1)).sum(2)
    log_p = log_joint.logsumexp(0) + log(0.01)
    gap = 0.01 * (log_q.exp() * (log_q - log_joint + log_p)).sum(0)
    elbo = -0.01 * (log_q.exp() * nll).sum(0) - gaussian_kl(m, v).sum(1)
    return elbo, log_p, gap


CARD = Card(
    name="Variational autoencoder (VAE)",
    name_ja="変分自己符号化器（VAE）",
    paper="Kingma and Welling 2013, arXiv:1312.6114",
    equations=(
        r"\log p(x) \ge \mathbb{E}_{q(z|x)} \log p(x|z) - \mathrm{KL}(q(z|x) \,\|\, p(z))",
        r"\mathrm{KL} = -\tfrac12 \sum_j (1 + \log s_j^2 - m_j^2 - s_j^2)",
        r"z = m + s \odot e, \quad e \sim \mathcal{N}(0, I)",
        r"-\log p(x|z) = \sum_i [\max(a_i, 0) - a_i x_i + \log(1 + e^{-|a_i|})]",
    ),
    summary="Learns to draw pictures from Gaussian codes by raising a lower bound of the likelihood.",
    summary_ja="対数尤度の変分下限を最大化し、正規分布の潜在変数から画像を生成することを学ぶ。",
    topics=("generative.vae", "generative.elbo", "generative.gaussian-kl", "generative.reparameterisation",
            "generative.bernoulli-decoder", "nn.bernoulli-elbo"),
    facts=(example_parameters, kl_is_the_integral, kl_is_never_negative, loss_is_reconstruction_plus_kl,
           sure_decoders_stay_finite, gradient_passes_through_the_draw, bound_and_gap, elbo_below_likelihood,
           more_samples_tighten),
    notes=(
        "Printed: -sum x log y + (1-x) log(1-y). The sum and its minus sign must cover both terms; as printed the loss "
        "has no lower bound and pays for ink on blank pixels.",
        "Printed beside the bound E log p - KL: a loss whose last term already carries -1/2. The loss adds KL; read as "
        "'minus KL' it pays for s -> 0.",
        "Printed: maximum likelihood, and E_q log p(x|z) = sum(...) without an expectation. What is raised is a lower "
        "bound, off by KL(q || posterior), and the sum estimates it from one sample.",
        "Grey pixels are no outcomes of a Bernoulli distribution: on them (4) is a cross entropy, and exp(-loss) is "
        "not a normalised likelihood.",
    ),
    notes_ja=(
        "資料の式 -Σ x log y + (1-x) log(1-y) は括弧が抜けている。総和とマイナスは両方の項にかかる。"
        "印刷のままでは損失に下界がなく、空白の画素を塗るほど得をする。",
        "変分下限は E log p - KL だが、損失の最後の項にはすでに -1/2 が含まれる。損失には KL を足す。"
        "「KLを引く」と読むと s → 0 が得になる。",
        "VAEは最尤法ではなく対数尤度の下限を最大化し、差は KL(q || 事後分布) である。期待値のない "
        "E_q log p(x|z) = Σ(...) の右辺は1標本による推定値である。",
        "濃淡のある画素はベルヌーイ分布の値ではない。(4) は交差エントロピーであり、"
        "exp(-損失) は正規化された尤度ではない。",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a run of this system can be told."""

    data: str = "digits"
    """images to learn from; pixels are read on the scale 0..1"""
    hidden: int = 200
    """units in the one hidden layer of encoder and decoder"""
    latent: int = 10
    """dimensions of the code"""
    beta: float = 1.0
    """weight of the KL term; 1 is the evidence lower bound"""
    epochs: int = 150
    """passes over the training part"""
    batch_size: int = 64
    """pictures per step"""
    lr: float = 1e-3
    """step size of Adam"""
    seed: int = 0
    """seed of weights, order and noise"""


VARIANTS = {
    "smoke": Setup(hidden=32, latent=2, epochs=2),
    "default": Setup(),
    "mnist": Setup(data="mnist", hidden=400, latent=20, epochs=20, batch_size=128),
    "latent2": Setup(latent=2, epochs=300),
}


def build(setup: Setup, place: Place = Place()) -> Autoencoding:  # noqa: B008 - a frozen value
    """A VAE for the images of `setup.data`, read on the scale 0..1, and its training with Adam."""
    in_range(setup, ("hidden", "latent", "epochs", "batch_size", "lr"))
    data = on_scale(open_data(setup.data), 0, 1)
    with drawing_from(setup.seed, "weights"):
        model = VAE(data.about.shape, setup.hidden, setup.latent)
    model.to(place.device)
    if place.compile:
        model.encoder.compile()
        model.decoder.compile()
    optimiser = Adam(model.parameters(), lr=setup.lr, fused=True)
    plan = Plan(epochs=setup.epochs, batch_size=setup.batch_size, seed=setup.seed)
    task = Task(objective=objective(setup.beta), measure=measure)
    return Autoencoding(model, Supervised(model, optimiser, task, data, plan, place), setup.seed)
