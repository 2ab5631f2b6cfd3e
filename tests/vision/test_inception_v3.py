"""Inception v3: torchvision's and timm's weights in ours, one helper, small pictures."""

from dataclasses import replace

import pytest
import torch
from published import computes, published
from torch.nn import functional as F

from shinso.core.errors import UserError
from shinso.core.seed import drawing_with, generator
from shinso.vision import inception_v3
from shinso.vision._inception import supervise
from shinso.vision.inception_v3 import Auxiliary, InceptionV3, from_timm


def test_torchvisions_weights_load_as_they_are_and_give_its_answers(tmp_path):
    options = {"aux_logits": True, "init_weights": False, "num_classes": 10}
    state, theirs = published("torchvision:inception_v3", (2, 3, 96, 80), tmp_path, **options)
    ours = InceptionV3(classes=10)
    ours.load_state_dict(state)
    computes(ours, theirs)


@pytest.mark.slow
def test_timms_weights_give_its_answers(tmp_path):
    state, theirs = published("timm:inception_v3", (2, 3, 80, 96), tmp_path, num_classes=10)
    ours = InceptionV3(classes=10, aux=False)
    ours.load_state_dict(from_timm(state))
    computes(ours, theirs)


def test_the_helper_is_torchvisions(tmp_path):
    options = {"aux_logits": True, "init_weights": False, "num_classes": 10}
    state, theirs = published("torchvision:inception_v3/AuxLogits", (2, 768, 17, 17), tmp_path, **options)
    ours = Auxiliary(768, 10)
    ours.load_state_dict(state)
    computes(ours, theirs)


def test_the_helper_reads_small_maps():
    assert Auxiliary(8, 3, width=0.1).eval()(torch.zeros(2, 8, 2, 3)).shape == (2, 3)


def test_the_loss_is_main_and_four_tenths_of_the_helpers():
    network = InceptionV3(classes=4, width=0.03125, border=True)
    x, y = torch.randn(4, 3, 40, 40), torch.tensor([0, 1, 2, 3])
    terms = supervise(0.4, 0.1, network, (x, y), generator(0, "dropout"))
    with drawing_with(generator(0, "dropout")):
        main, answer = network(x)
    expected = F.cross_entropy(main, y, label_smoothing=0.1) + 0.4 * F.cross_entropy(answer, y, label_smoothing=0.1)
    torch.testing.assert_close(terms["main"] + terms["auxiliary"], expected)


def test_a_picture_of_75_pixels_passes_and_of_74_does_not():
    network = InceptionV3(classes=4, width=0.03125, aux=False).eval()
    assert network(torch.zeros(1, 3, 75, 75)).shape == (1, 4)
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, 74, 74))


def test_small_pictures_are_refused_until_they_are_grown_or_layers_have_borders():
    published_form = replace(inception_v3.VARIANTS["smoke"], border=False)
    with pytest.raises(UserError, match="75x75"):
        inception_v3.build(published_form)
    assert inception_v3.build(replace(published_form, grow=3)).total
    with pytest.raises(UserError, match="blocks"):
        inception_v3.build(replace(published_form, blocks=(4, 4, 2)))
