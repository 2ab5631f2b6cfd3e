"""One matrix for four changes of colour, and pictures without any."""

import torch

from shinso.data.colour_jitter import GREY, ColourJitter, matrices


def test_without_strength_nothing_changes():
    still = ColourJitter(seed=0, brightness=0, contrast=0, saturation=0, hue=0)
    pixels = torch.randint(0, 256, (7, 3, 6, 6), dtype=torch.uint8)
    assert torch.equal(still(pixels, torch.arange(7), 0), pixels)


def test_saturation_of_nothing_is_grey():
    x = torch.rand(4, 3, 5, 5).double()
    grey = torch.einsum("kij,kjhw->kihw", matrices(torch.zeros(4).double(), torch.zeros(4).double()), x)
    expected = torch.einsum("j,kjhw->khw", x.new_tensor(GREY), x)
    assert torch.allclose(grey, expected[:, None].expand(-1, 3, -1, -1))


def test_a_third_of_a_turn_is_the_next_colour():
    turned = matrices(torch.ones(1).double(), torch.tensor([2 * torch.pi / 3], dtype=torch.float64))[0]
    assert torch.allclose(turned @ torch.tensor([1.0, 0, 0]).double(), torch.tensor([0.0, 1, 0]).double(), atol=1e-12)


def test_grey_pictures_change_in_brightness_and_contrast_as_colours_do():
    grey = 255 * torch.rand(6, 1, 5, 5).double()
    change, index = ColourJitter(seed=3), torch.arange(6)
    in_colour = change(grey.expand(-1, 3, -1, -1), index, 1)
    assert torch.allclose(change(grey, index, 1), in_colour[:, :1], atol=1e-9)


def test_factors_are_uniform_about_one():
    drawn = ColourJitter(seed=0, brightness=0.5, contrast=0.2, saturation=0.1, hue=9).drawn(torch.arange(20_000), 0)
    assert torch.allclose(drawn.mean(0), torch.tensor([1.0, 1, 1, 0]), atol=0.02)
    widest = torch.tensor([0.5, 0.2, 0.1, 0.05 * torch.pi])
    assert torch.allclose(drawn.amax(0) - drawn.mean(0), widest, atol=0.02)
