"""Crops that are nearer, light that follows the colours, and changes one after another."""

import pytest
import torch

from shinso.data.augment import Chain, FlipCrop, between, largest_around
from shinso.data.colour_jitter import ColourJitter
from shinso.data.cutout import Cutout
from shinso.data.photographs import PCAColour, ScaleCrop, ten_crops

BYTES = torch.randint(0, 256, (12, 3, 10, 14), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
INDEX = torch.arange(12)
AXES = ((0.1, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, 0.0, 0.3))


def test_at_its_own_size_a_picture_is_cut_nowhere():
    assert torch.equal(ScaleCrop(seed=0, low=1, high=1, flip=False)(BYTES, INDEX, 0), BYTES)
    mirrored = ScaleCrop(seed=0, low=1, high=1)(BYTES, INDEX, 0)
    kinds = [torch.equal(new, old) - torch.equal(new, old.flip(-1)) for new, old in zip(mirrored, BYTES, strict=True)]
    assert {abs(kind) for kind in kinds} == {1} and set(kinds) == {1, -1}


def test_twice_as_near_is_every_pixel_twice_in_the_middle():
    picture = torch.zeros(200, 1, 16, 16)
    picture[:, :, 7:9, 7:9] = 1
    seen = ScaleCrop(seed=0, low=2, high=2, flip=False)(picture, torch.arange(200), 0)
    border = seen[:, 0].clone()
    border[:, 1:-1, 1:-1] = 0
    whole = seen[border.sum((1, 2)) == 0]
    assert len(whole) > 10
    assert torch.allclose(whole.sum((1, 2, 3)), torch.full((len(whole),), 16.0), atol=0.1)


def test_the_crop_lies_inside_the_picture():
    change = ScaleCrop(seed=0, low=1.0, high=2.0)
    corners = torch.tensor([[-0.5, -0.5], [13.5, 9.5]]).expand(500, 2, 2)
    before = change.back(corners, torch.arange(500), 0, (10, 14))
    assert before[..., 0].min() >= -0.5001 and before[..., 0].max() <= 13.5001
    assert before[..., 1].min() >= -0.5001 and before[..., 1].max() <= 9.5001


def test_left_and_right_of_a_box_change_places_in_a_mirror_and_top_and_bottom_do_not():
    index, box = torch.arange(200), torch.tensor([1.5, 2.5, 5.5, 8.5]).expand(200, 1, 4)
    seen = ScaleCrop(seed=0, low=1, high=1).boxes_there(box, index, 0, (10, 14))[:, 0]
    assert {tuple(one) for one in seen.tolist()} == {(1.5, 2.5, 5.5, 8.5), (7.5, 2.5, 11.5, 8.5)}


def test_a_box_is_cut_at_the_border_and_has_no_area_outside():
    change, index = ScaleCrop(seed=0, low=2, high=2), torch.arange(200)
    whole = change.boxes_there(torch.tensor([-0.5, -0.5, 13.5, 9.5]).expand(200, 1, 4), index, 0, (10, 14))
    assert torch.equal(whole, torch.tensor([-0.5, -0.5, 13.5, 9.5]).expand(200, 1, 4))
    corner = change.boxes_there(torch.tensor([-0.5, -0.5, 1.5, 1.5]).expand(200, 1, 4), index, 0, (10, 14))[:, 0]
    areas = (corner[:, 2:] - corner[:, :2]).prod(1)
    assert float(areas.min()) == 0 and 0 < float(areas.max()) <= 16.001 and bool((areas == 0).any())
    assert change.boxes_there(torch.zeros(3, 0, 4), torch.arange(3), 0, (10, 14)).shape == (3, 0, 4)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_a_mask_has_no_label_that_was_not_there(dtype):
    labels = torch.tensor([0, 1, 200])[torch.randint(0, 3, (50, 2, 10, 14), generator=torch.Generator().manual_seed(0))]
    masks = labels.to(dtype)
    seen = ScaleCrop(seed=0).masks_there(masks, torch.arange(50), 0)
    assert seen.dtype == dtype and seen.shape == masks.shape
    assert set(seen.unique().tolist()) <= set(masks.unique().tolist()) and not torch.equal(seen, masks)


def test_a_mask_and_its_picture_stay_on_each_other():
    """Where a picture is the same for many pixels around, what is read between pixels is what is read nearest."""
    picture = torch.zeros(100, 1, 24, 32)
    picture[:, :, 6:18, 10:22] = 200
    change, index = ScaleCrop(seed=0), torch.arange(100)
    seen, mask = change(picture, index, 0), change.masks_there(picture, index, 0)
    clear = (seen == 0) | (seen == 200)
    assert torch.equal(seen[clear], mask[clear]) and 0.8 < float(clear.float().mean()) < 1
    assert float((seen - mask).abs().max()) <= 200 * 0.76  # half a pixel off each way: 1 - 1/4


def test_the_light_moves_all_pixels_of_a_picture_alike():
    grey = torch.full((12, 3, 5, 5), 100.0)
    moved = PCAColour(seed=0, axes=AXES)(grey, INDEX, 0) - grey
    assert float((moved - moved[:, :, :1, :1]).abs().max()) < 1e-4
    assert len({round(float(m), 4) for m in moved[:, 0, 0, 0]}) == 12
    assert torch.allclose(moved[:, :, 0, 0], 255 * PCAColour(seed=0, axes=AXES).shifts(INDEX, 0), atol=1e-4)


def test_bytes_stay_bytes():
    for change in (ScaleCrop(seed=0), PCAColour(seed=0, axes=AXES), ColourJitter(seed=0), Cutout(seed=0)):
        assert change(BYTES, INDEX, 0).dtype == torch.uint8
        assert change(BYTES.float(), INDEX, 0).dtype == torch.float32
        assert change(BYTES[:0], INDEX[:0], 0).shape == (0, 3, 10, 14)


def test_a_chain_is_one_change_after_another():
    first, second = FlipCrop(seed=0), Cutout(seed=1)
    assert torch.equal(Chain((first, second))(BYTES, INDEX, 2), second(first(BYTES, INDEX, 2), INDEX, 2))


def test_ten_crops_are_where_they_should_be():
    crops = ten_crops(BYTES, 6)
    assert crops.shape == (12, 10, 3, 6, 6)
    assert torch.equal(crops[:, 3], BYTES[:, :, 4:, 8:])
    assert torch.equal(crops[:, 9], BYTES[:, :, 2:8, 4:10].flip(-1))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 2, 1, 7), (2, 3, 9, 4)])
def test_the_largest_around_is_a_pooling(shape):
    x = torch.randn(shape)
    assert torch.equal(largest_around(x), torch.nn.functional.max_pool2d(x, 3, 1, 1))


def test_between_is_torchs_bicubic_interpolation():
    net = torch.randn(5, 2, 4, 4)
    expected = torch.nn.functional.interpolate(net, size=(9, 12), mode="bicubic", align_corners=True)
    assert torch.allclose(between(between(net, 9, 2), 12, 3), expected, atol=2e-6)
