"""DCGAN: facts, the two networks, the rules of the game, slips of the documents, exact resume, and what it draws."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

from shinso.core.errors import UserError
from shinso.core.place import Place
from shinso.core.record import plain
from shinso.core.seed import generator
from shinso.data.examples import open_data, save_description
from shinso.generative import dcgan
from shinso.generative._dcgan_networks import count, discriminator_network, doublings, generator_network
from shinso.generative._frechet import fit_features, frechet


def trace(program, start=0, stop=None):
    return [plain(program.step(i)) for i in range(start, stop or program.total)]


def smoke():
    return dcgan.build(dcgan.VARIANTS["smoke"])


def test_looking_and_judging_change_nothing():
    looked, beside = smoke(), smoke()
    trace(looked, stop=5), trace(beside, stop=5)
    first = plain(looked.evaluate("validation"))
    looked.pictures()
    assert plain(looked.evaluate("validation")) == first
    assert trace(looked, 5) == trace(beside, 5)


def test_a_run_is_rebuilt_from_its_description_alone(tmp_path):
    trained = smoke()
    trace(trained, stop=3)
    save_description(open_data("digits").about, tmp_path / "data.json")
    rebuilt = dcgan.build(dcgan.Setup(data=f"described:{tmp_path / 'data.json'}", size=16, latent=8, width=4))
    rebuilt.restore(copy.deepcopy(trained.state()))
    assert (rebuilt.pictures()["samples"] == trained.pictures()["samples"]).all()


def test_build_leaves_the_global_stream_alone():
    torch.manual_seed(7)
    smoke()
    after = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("size", [14, 16, 28, 32, 64])
@pytest.mark.parametrize("kernel", [4, 5])
def test_networks_of_every_size_meet(size, kernel):
    forger, judge = generator_network(8, 4, 3, size, kernel), discriminator_network(4, 3, size, kernel)
    picture = forger(torch.randn(2, 8))
    assert picture.shape == (2, 3, size, size) and picture.abs().max() <= 1
    assert judge(picture).shape == (2,)


def test_maps_of_the_paper_are_1024_512_256_128():
    network = generator_network(100, 128, 3, 64, 5).to("meta")
    convs = [layer for layer in network if isinstance(layer, nn.ConvTranspose2d)]
    assert [c.in_channels for c in convs] == [100, 1024, 512, 256, 128] and convs[-1].out_channels == 3
    assert all(c.kernel_size == (5, 5) for c in convs[1:])
    kernels = 100 * 1024 * 16 + 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert count(network) == kernels + 2 * (1024 + 512 + 256 + 128)


def test_no_normalisation_at_the_generators_output_and_the_discriminators_input():
    forger, judge = generator_network(8, 4, 1, 64, 4), discriminator_network(4, 1, 64, 4)
    assert [type(m).__name__ for m in forger][-4:] == ["BatchNorm2d", "ReLU", "ConvTranspose2d", "Tanh"]
    assert [type(m).__name__ for m in judge][:3] == ["Conv2d", "LeakyReLU", "Conv2d"]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in forger) == 4
    assert sum(isinstance(m, nn.BatchNorm2d) for m in judge) == 3
    assert not any(isinstance(m, nn.Sigmoid) for m in judge)


def test_sizes_that_do_not_double_are_refused():
    assert [doublings(s) for s in (7, 14, 28, 64)] == [0, 1, 2, 4]
    for size in (7, 15, 30):
        with pytest.raises(UserError, match="16, 28, 32 or 64"):
            dcgan.build(dcgan.Setup(size=size))


def test_losses_equal_binary_cross_entropy_with_labels():
    real, fake = torch.randn(2, 50, generator=generator(0, "logits")).double()
    bce = nn.BCELoss()
    labels = bce(real.sigmoid(), torch.ones(50).double()) + bce(fake.sigmoid(), torch.zeros(50).double())
    assert abs(dcgan.discriminator_loss(real, fake) - labels) < 1e-12
    assert abs(dcgan.generator_loss(fake) - bce(fake.sigmoid(), torch.ones(50).double())) < 1e-12
    assert dcgan.discriminator_loss(torch.tensor([-1000.0]), torch.tensor([1000.0])) == 2000


def test_slopes_of_both_losses_of_a_losing_forger_are_exact():
    logit = torch.tensor([math.log(1e-4 / (1 - 1e-4))], dtype=torch.float64, requires_grad=True)
    for loss, slope in ((dcgan.generator_loss, -(1 - 1e-4)), (dcgan.saturating_loss, -1e-4)):
        (found,) = torch.autograd.grad(loss(logit), logit)
        assert found.item() == pytest.approx(slope, rel=1e-12)


def test_real_and_fake_batches_pass_apart():
    """Concatenated through batch normalisation they would change each other's log-odds."""
    program = smoke()
    batch, sizes = program.training.batches.next(), []
    handle = program.judge.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    dcgan.judging(8, 16)(program.forger, program.judge, batch, generator(0, "n"))
    handle.remove()
    assert sizes == [64, 64]
    real, fake = dcgan.resized(batch[0], 16), torch.randn(64, 1, 16, 16)
    assert not torch.allclose(program.judge(torch.cat([real, fake]))[:64], program.judge(real), atol=1e-3)


def test_the_judges_gradient_does_not_reach_the_forger():
    program = smoke()
    loss = dcgan.judging(8, 16)(program.forger, program.judge, program.training.batches.next(), generator(0, "n"))
    loss.backward()
    assert all(w.grad is None for w in program.forger.parameters())
    assert all(w.grad is not None for w in program.judge.parameters())


def test_pictures_are_images_that_vary():
    program = dcgan.build(dcgan.Setup(size=16, latent=8, width=8, epochs=3, lr=2e-3))
    trace(program)
    drawn = program.pictures()
    assert set(drawn) == {"samples", "interpolation", "neighbours"}
    for picture in drawn.values():
        assert picture.dtype == "uint8" and picture.ndim == 3 and picture.shape[2] == 3 and picture.std() > 10


def test_pixels_are_read_from_minus_1_to_1():
    x, _ = smoke().training.batches.next()
    assert x.min() == -1 and x.max() == 1


def test_bf16_comes_near_fp32():
    reduced = dcgan.build(dcgan.VARIANTS["smoke"], Place(precision="bf16"))
    ours, theirs = plain(reduced.step(0))["loss"], plain(smoke().step(0))["loss"]
    assert ours != theirs and ours == pytest.approx(theirs, rel=0.05)


# The distance


def test_frechet_equals_the_closed_form_of_gaussians():
    """Diagonal Gaussians with known moments: |m|^2 + sum (s1 - s2)^2, from the moments of the samples themselves."""
    rng = generator(0, "frechet")
    x = torch.randn(4000, 6, generator=rng, dtype=torch.float64) * torch.arange(1, 7)
    features = fit_features(x, 6)
    scaled = (x - x.mean(0)) * 1.5 + x.mean(0) + 2
    expected = 6 * 4 + 0.25 * features.variances.sum()
    assert frechet(features, scaled) == pytest.approx(float(expected), rel=1e-9)
    assert abs(frechet(features, x)) < 1e-9


def test_frechet_sees_noise_and_is_small_for_more_of_the_same():
    rng = generator(1, "frechet")
    x, more = torch.rand(2, 2000, 1, 8, 8, generator=rng)
    features = fit_features(x, 16)
    assert frechet(features, more) < 0.05 * frechet(features, more + 0.5 * torch.randn(more.shape, generator=rng))


# The rows of the curriculum that the card claims, and slips of the documents: the printed form fails, ours holds


def test_value_on_grids_equals_the_formula():
    x, p, q = dcgan._gaussian_pair()
    for shift in (-1.0, 0.0, 2.0):
        logits = shift + 0.3 * x
        ours = -torch.trapezoid(p * dcgan.minus_log_d(logits) + q * dcgan.minus_log_not_d(logits), x)
        d = 1 / (1 + (-logits).exp())
        assert abs(ours - torch.trapezoid(p * d.log() + q * (1 - d).log(), x)) < 1e-12


def test_the_greatest_value_is_not_the_divergence_as_printed():
    x, p, q = dcgan._gaussian_pair()
    middle = (p + q) / 2
    js = float(torch.trapezoid(p * (p / middle).log() + q * (q / middle).log(), x)) / 2
    value = dcgan.value_is_divergence().measured
    assert js == pytest.approx(0.0992900966, abs=1e-9) and value == pytest.approx(-1.1877141679, abs=1e-9)
    assert abs(value - js) > 1  # the printed identity
    assert abs(value - (2 * js - math.log(4))) < 1e-10


def test_the_printed_generator_function_gives_twice_the_divergence():
    x, p, q = dcgan._gaussian_pair()
    t = p / q
    printed = float(torch.trapezoid(q * (t * t.log() - (1 + t) * ((1 + t) / 2).log()), x))
    assert printed == pytest.approx(2 * 0.0992900966, abs=1e-9)


def test_unequal_batches_shift_the_log_odds():
    """The optimum p/(p+q) holds for equal numbers: with three fakes per real example it moves by log 1/3."""
    x, p, q = dcgan._gaussian_pair()
    logits = (p.log() - q.log()).requires_grad_()
    for weight, optimal in ((1.0, True), (3.0, False)):
        loss = torch.trapezoid(p * dcgan.minus_log_d(logits) + weight * q * dcgan.minus_log_not_d(logits), x)
        (slope,) = torch.autograd.grad(loss, logits)
        assert (slope.abs().max() < 1e-12) == optimal
    shifted = (logits.detach() - math.log(3)).requires_grad_()
    loss = torch.trapezoid(p * dcgan.minus_log_d(shifted) + 3 * q * dcgan.minus_log_not_d(shifted), x)
    assert torch.autograd.grad(loss, shifted)[0].abs().max() < 1e-12


def test_slerp_ends_at_its_ends_and_the_straight_line_leaves_the_shell():
    u, v = torch.randn(2, 50, 100, generator=generator(0, "ends"), dtype=torch.float64)
    ends = dcgan.slerp(u, v, torch.tensor([0.0, 1.0]).double())
    assert (ends[:, 0] - u).abs().max() < 1e-12 and (ends[:, 1] - v).abs().max() < 1e-12
    middle = ((u + v) / 2).norm(dim=1).mean() / u.norm(dim=1).mean()
    assert 0.65 < middle < 0.76  # near 1 / sqrt 2
    curved = dcgan.slerp(u, v, torch.tensor([0.5]).double())[:, 0].norm(dim=1).mean() / u.norm(dim=1).mean()
    assert 0.97 < curved < 1.03


@pytest.mark.parametrize("wrong", [{"updates": 0}, {"beta1": 1.5}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        dcgan.build(dcgan.Setup(**wrong))


@pytest.mark.slow
def test_mnist_fakes_come_near_real_pictures_in_two_epochs(real_data):
    program = dcgan.build(dataclasses.replace(dcgan.VARIANTS["mnist"], epochs=2))
    before = plain(program.evaluate("test"))["frechet"]
    trace(program)
    judged = plain(program.evaluate("test"))
    assert judged["frechet"] < 0.1 * before
    assert program.pictures()["samples"].std() > 40
