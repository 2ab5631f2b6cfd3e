"""Moves, bends and crops of batches: the same whatever the batch, the order, the type of the pixels, or the device."""

import pytest
import torch

from shinso.data.augment import Chain, FlipCrop, Handwriting, ShiftScaleRotate
from shinso.data.colour_jitter import ColourJitter
from shinso.data.cutout import Cutout
from shinso.data.mixup import Mixup, mixed
from shinso.data.photographs import PCAColour, ScaleCrop

BYTES = torch.randint(0, 256, (24, 3, 10, 14), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
INDEX = torch.arange(24) + 1000
AXES = ((0.1, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.3))
EVERY = {"move": ShiftScaleRotate(seed=3), "hand": Handwriting(seed=3), "flip": FlipCrop(seed=3),
         "framed": FlipCrop(seed=3, fill=(10, 20, 30)),
         "window": FlipCrop(seed=3, size=8), "nearer": ScaleCrop(seed=3), "light": PCAColour(seed=3, axes=AXES),
         "colour": ColourJitter(seed=3), "hole": Cutout(seed=3, size=4, fill=120)}
EVERY["all"] = Chain((EVERY["flip"], EVERY["nearer"], EVERY["colour"], EVERY["light"], EVERY["hole"]))


@pytest.mark.parametrize("name", EVERY)
def test_a_seed_an_epoch_and_an_index_are_all_that_matters(name):
    change = EVERY[name]
    first = change(BYTES, INDEX, 5)
    assert torch.equal(change(BYTES, INDEX, 5), first)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    assert torch.equal(change(BYTES[order], INDEX[order], 5), first[order])
    torch.manual_seed(123)
    assert torch.equal(torch.cat([change(BYTES[:7], INDEX[:7], 5), change(BYTES[7:], INDEX[7:], 5)]), first)
    assert not torch.equal(change(BYTES, INDEX, 6), first)
    assert not torch.equal(change(BYTES, INDEX + 1, 5), first)
    if name != "all":
        assert not torch.equal(type(change)(**{**vars(change), "seed": 4})(BYTES, INDEX, 5), first)


@pytest.mark.parametrize("name", EVERY)
def test_what_goes_in_is_left_as_it_is_and_what_comes_out_has_its_type(name):
    before = BYTES.clone()
    assert EVERY[name](BYTES, INDEX, 0).dtype == torch.uint8
    assert torch.equal(BYTES, before)
    assert EVERY[name](BYTES.float(), INDEX, 0).dtype == torch.float32
    assert EVERY[name](BYTES[:0], INDEX[:0], 0).shape == ((0, 3, 8, 8) if name == "window" else (0, 3, 10, 14))


@pytest.mark.parametrize("name", ["flip", "hole", "window"])
def test_floats_and_bytes_change_alike(name):
    assert torch.equal(EVERY[name](BYTES.float(), INDEX, 2).to(torch.uint8), EVERY[name](BYTES, INDEX, 2))


def test_the_frame_is_what_fills_it():
    """What a crop of whole numbers shows of the frame differs by as much as the fills do, channel by channel."""
    dark, grey = (FlipCrop(seed=3, fill=fill)(BYTES, INDEX, 0).int() for fill in ((0,), (10, 20, 30)))
    framed = (grey - dark) != 0
    assert 0.2 < framed.float().mean() < 0.8
    for channel, level in enumerate((10, 20, 30)):
        assert (grey[:, channel][framed[:, channel]] == level).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", EVERY)
def test_the_change_is_the_same_on_the_device(name):
    here = EVERY[name](BYTES, INDEX, 5)
    there = EVERY[name](BYTES.cuda(), INDEX.cuda(), 5)
    assert there.is_cuda
    assert int((there.cpu().int() - here.int()).abs().max()) <= 1  # the last bit of a rounding is the device's own


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_mixtures_are_the_same_on_the_device():
    mix = Mixup(seed=0, alpha=0.4)
    partners, share = mix(INDEX, 1, 5000)
    others, shares = mix(INDEX.cuda(), 1, 5000)
    assert torch.equal(others.cpu(), partners) and torch.allclose(shares.cpu(), share)
    assert mixed(BYTES.float().cuda(), BYTES.float().flip(0).cuda(), shares).is_cuda
