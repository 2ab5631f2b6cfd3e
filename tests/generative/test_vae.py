"""The VAE: facts, terms, slips of the documents, exact resume, and what it draws."""

import copy
import math

import pytest
import torch
from torch import nn

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import plain
from shinso.core.seed import generator
from shinso.data.examples import open_data, save_description
from shinso.generative import vae


def trace(program, start=0, stop=None):
    return [plain(program.step(i)) for i in range(start, stop or program.total)]


def smoke():
    return vae.build(vae.VARIANTS["smoke"])


def test_a_run_is_rebuilt_from_its_description_alone(tmp_path):
    trained = smoke()
    trace(trained, stop=3)
    save_description(open_data("digits").about, tmp_path / "data.json")
    rebuilt = vae.build(vae.Setup(data=f"described:{tmp_path / 'data.json'}", hidden=32, latent=2, epochs=2))
    rebuilt.restore(copy.deepcopy(trained.state()))
    assert (rebuilt.pictures()["samples"] == trained.pictures()["samples"]).all()


def test_build_leaves_the_global_stream_alone():
    torch.manual_seed(7)
    smoke()
    after = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_terms_add_up_and_beta_weighs_only_the_kl(beta):
    program = vae.build(vae.Setup(hidden=32, latent=2, epochs=1, beta=beta))
    record = plain(program.step(0))
    assert record["loss"] == pytest.approx(record["reconstruction"] + beta * record["kl"], rel=1e-6)
    judged = plain(program.evaluate("test"))
    assert judged["loss"] == pytest.approx(judged["reconstruction"] + judged["kl"], rel=1e-6)


def test_training_lowers_the_bound_and_evaluation_changes_nothing():
    program, beside = smoke(), smoke()
    before = plain(program.evaluate("test"))
    assert plain(program.evaluate("test")) == before
    trace(program)
    assert plain(program.evaluate("test"))["loss"] < 0.8 * before["loss"]
    program.pictures()
    trace(beside)
    assert all(torch.equal(a, b) for a, b in zip(program.model.parameters(), beside.model.parameters(), strict=True))


def test_collapsed_dimensions_are_counted():
    program = smoke()
    assert plain(program.evaluate("validation"))["collapsed_dimensions"] <= 2
    with torch.no_grad():
        for head in (program.model.encoder.mean, program.model.encoder.log_variance):
            head.weight[0].zero_()
            head.bias[0].zero_()
        program.model.encoder.mean.bias[1] = 3.0
    assert plain(program.evaluate("validation"))["collapsed_dimensions"] == 1


def test_a_large_beta_collapses_the_code():
    program = vae.build(vae.Setup(hidden=32, latent=4, epochs=8, beta=100.0, lr=3e-3))
    trace(program)
    assert plain(program.evaluate("test"))["collapsed_dimensions"] >= 3


@pytest.mark.parametrize(("latent", "names"), [
    (2, {"samples", "manifold", "reconstructions", "interpolation"}),
    (3, {"samples", "reconstructions", "interpolation", "traversal"}),
])  # fmt: skip
def test_pictures_are_images_that_vary(latent, names):
    program = vae.build(vae.Setup(hidden=32, latent=latent, epochs=3))
    trace(program)
    drawn = program.pictures()
    assert set(drawn) == names
    for picture in drawn.values():
        assert picture.dtype == "uint8" and picture.ndim == 3 and picture.shape[2] == 3
        assert picture.std() > 15 and 5 < picture.mean() < 120
    assert drawn["samples"].shape == (10 * 57 - 1, 10 * 57 - 1, 3)


def test_pixels_are_read_from_0_to_1_whatever_the_normalisation_of_the_data():
    program = smoke()
    x, _ = program.training.batches.next()
    assert x.min() == 0 and x.max() == 1


def test_bf16_comes_near_fp32():
    reduced = vae.build(vae.VARIANTS["smoke"], Place(precision="bf16"))
    full = smoke()
    ours, theirs = trace(reduced)[-1]["loss"], trace(full)[-1]["loss"]
    assert ours != theirs and ours == pytest.approx(theirs, rel=0.02)


# The rows of the curriculum that the card claims


def test_kl_agrees_with_monte_carlo_in_ten_dimensions():
    rng = generator(0, "mc")
    mean, log_variance = torch.randn(10, generator=rng).double(), torch.randn(10, generator=rng).double()
    z = vae.reparameterise(mean.expand(100_000, 10), log_variance.expand(100_000, 10), rng)
    ratio = -0.5 * ((z - mean).square() / log_variance.exp() + log_variance - z.square()).sum(1)
    apart = ratio.mean() - vae.gaussian_kl(mean, log_variance).sum()
    assert abs(apart) < 4 * ratio.std() / math.sqrt(len(z))


def test_kl_agrees_with_a_million_draws_in_one_dimension():
    mean, log_variance = torch.tensor([0.7]).double(), torch.tensor([-0.4]).double()
    z = vae.reparameterise(mean.expand(10**6), log_variance.expand(10**6), generator(0, "mc"))
    ratio = -0.5 * ((z - mean).square() / log_variance.exp() + log_variance - z.square())
    assert abs(ratio.mean() - vae.gaussian_kl(mean, log_variance)) < 4 * ratio.std() / 1000


def test_gradient_of_the_kl_is_m_and_s_minus_1_over_s():
    m = torch.linspace(-2, 2, 9, dtype=torch.float64, requires_grad=True)
    s = torch.linspace(0.2, 3, 9, dtype=torch.float64, requires_grad=True)
    by_m, by_s = torch.autograd.grad(vae.gaussian_kl(m, 2 * s.log()).sum(), [m, s])
    assert torch.allclose(by_m, m, atol=1e-12) and torch.allclose(by_s, s - 1 / s, atol=1e-12)


def test_pathwise_gradient_varies_five_times_less_than_the_score_functions():
    mean = torch.ones(100_000, dtype=torch.float64, requires_grad=True)
    z = vae.reparameterise(mean, torch.zeros_like(mean), generator(0, "draw"))
    (pathwise,) = torch.autograd.grad(z.square().sum(), mean)
    score = z.detach().square() * (z.detach() - mean.detach())
    assert abs(score.mean() - 2) < 4 * score.std() / len(z) ** 0.5
    assert score.var() > 5 * pathwise.var()


def test_gradient_reaches_the_encoder_through_the_draw_and_not_through_a_detached_one():
    model, x = vae.VAE((6,), 8, 2), torch.rand(5, 6)
    reconstruction, _ = vae.terms(model, x, generator(0, "n"))
    reconstruction.sum().backward()
    assert model.encoder.mean.weight.grad.abs().sum() > 0 and model.encoder.log_variance.weight.grad.abs().sum() > 0
    mean, log_variance = model.posterior(x)
    logits = model.decoder(torch.distributions.Normal(mean, (0.5 * log_variance).exp()).sample())
    slopes = torch.autograd.grad(vae.bernoulli_nll(logits, x).sum(), model.encoder.mean.weight, allow_unused=True)
    assert slopes == (None,)


def test_logits_form_equals_the_naive_formula_below_20():
    a = torch.linspace(-19.9, 19.9, 399, dtype=torch.float64)
    for x in (0.0, 0.3, 1.0):
        x = torch.full_like(a, x)
        naive = -(x * torch.sigmoid(a).log() + (1 - x) * torch.sigmoid(-a).log())
        assert (vae.bernoulli_nll(a, x) - naive).abs().max() < 1e-12
    y = torch.tensor([1000.0]).sigmoid()
    assert not (1 - y).log().isfinite()  # what the naive form would have taken


def test_elbo_identity_on_a_discrete_code_by_enumeration():
    """Five codes, four pixels, any q: ELBO = log p - KL(q || posterior); the gap is 0 exactly for the posterior."""
    rng = generator(0, "enumeration")
    logits = torch.randn(5, 4, generator=rng, dtype=torch.float64)
    prior = torch.rand(5, generator=rng, dtype=torch.float64).softmax(0)
    x = torch.tensor([1.0, 0, 0, 1], dtype=torch.float64)
    log_joint = prior.log() - vae.bernoulli_nll(logits, x.expand(5, 4)).sum(1)
    log_p, posterior = log_joint.logsumexp(0), log_joint.softmax(0)
    for q in [torch.randn(5, generator=rng, dtype=torch.float64).softmax(0) for _ in range(20)] + [posterior]:
        elbo = (q * (log_joint - q.log())).sum()
        gap = (q * (q.log() - posterior.log())).sum()
        assert abs(elbo - (log_p - gap)) < 1e-10
        assert gap > 1e-3 or q is posterior
    assert abs(elbo - log_p) < 1e-12


def test_linear_gaussian_vae_reaches_the_marginal_likelihood_of_probabilistic_pca():
    """Linear encoder and decoder, Gaussian noise: the best bound is the likelihood of PPCA, to 1e-3 nat."""
    rng = generator(0, "ppca")
    x, mixing = (torch.randn(n, 4, generator=rng, dtype=torch.float64) for n in (300, 4))
    x = x @ mixing - (x @ mixing).mean(0)
    values = torch.linalg.eigvalsh(x.T @ x / len(x)).flip(0)
    noise = values[2:].mean()
    exact = -0.5 * (4 * math.log(2 * math.pi) + values[:2].log().sum() + 2 * noise.log() + 4)
    shapes = ((4, 2), (2, 4), (2,), ())  # encoder, decoder, log-variances of q, log-variance of the noise
    weights = [torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_() for shape in shapes]
    encoder, decoder, v, w = weights
    optimiser = torch.optim.LBFGS(weights, max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-14)

    def loss():
        optimiser.zero_grad()
        mean = x @ encoder
        error = (x - mean @ decoder).square().sum(1) + (v.exp()[:, None] * decoder.square()).sum()  # E_q |x - Wz|^2
        likelihood = -0.5 * (error * (-w).exp() + 4 * (w + math.log(2 * math.pi)))
        value = (vae.gaussian_kl(mean, v.expand_as(mean)).sum(1) - likelihood).mean()
        value.backward()
        return value

    optimiser.step(loss)
    elbo = -float(loss().detach())
    assert elbo <= exact + 1e-9 and exact - elbo < 1e-3


# Slips of the documents: the printed form fails, ours holds


def test_without_the_bracket_ink_on_blank_pixels_is_paid_for():
    x, blank, inked = torch.zeros(4), torch.full((4,), 0.1), torch.full((4,), 0.9)

    def printed(y):
        return float(-(x * y.log()).sum() + ((1 - x) * (1 - y).log()).sum())

    assert printed(inked) < printed(blank)  # a worse picture has the lower "loss"
    ours = [float(vae.bernoulli_nll(y.logit(), x).sum()) for y in (blank, inked)]
    assert ours[0] < ours[1]


def test_subtracting_the_kl_pays_for_a_vanishing_deviation():
    log_variance = torch.tensor([0.0, -2.0, -20.0, -200.0])
    kl = vae.gaussian_kl(torch.zeros(4), log_variance)
    assert (kl.diff() > 0).all()  # minus KL falls without bound as s -> 0; plus KL is least at s = 1


def test_log_s_in_place_of_log_s_squared_changes_the_price():
    s = torch.tensor(1.5).double()
    centre = torch.zeros((), dtype=torch.float64)
    right, mixed = vae.gaussian_kl(centre, 2 * s.log()), vae.gaussian_kl(centre, s.log())
    assert right == pytest.approx(0.5 * (2.25 - 1 - math.log(2.25))) and mixed < 0.5 * right


def test_one_sample_is_not_the_expectation():
    model, x = vae._tiny(pixels=6, latent=1), vae.EVERY_PICTURE[:1].repeat(2, 1)
    reconstruction, kl = vae.terms(model, x, generator(0, "n"))
    assert reconstruction[0] != reconstruction[1] and torch.equal(kl[0], kl[1])


def test_points_are_refused_with_a_cure():
    with pytest.raises(UserError, match="use images"):
        vae.build(vae.Setup(data="two-moons"))


@pytest.mark.parametrize("wrong", [{"latent": 0}, {"epochs": -1}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        vae.build(vae.Setup(**wrong))


@pytest.mark.slow
def test_mnist_reaches_110_nats_in_eight_epochs(real_data):
    setup = vae.VARIANTS["mnist"]
    program = vae.build(vae.Setup(data="mnist", hidden=setup.hidden, latent=setup.latent, batch_size=128, epochs=8))
    trace(program)
    judged = plain(program.evaluate("test"))
    assert 95 < judged["loss"] < 110 and judged["collapsed_dimensions"] <= 2
    assert sum(p.numel() for p in program.model.parameters()) == 652_824 and isinstance(program.model, nn.Module)
