"""A hole of its size wherever there is room for it."""

import torch

from shinso.data.cutout import Cutout, chances


def test_a_hole_in_the_middle_has_its_size_and_no_hole_is_larger():
    holes = Cutout(seed=0, size=4).holes(torch.arange(3000), 0, 12, 20)
    areas = holes.sum((1, 2))
    assert int(areas.max()) == 16 and int(areas.min()) == 4
    inside = holes[:, 0].any(1) | holes[:, -1].any(1) | holes[:, :, 0].any(1) | holes[:, :, -1].any(1)
    assert set(areas[~inside].tolist()) == {16}


def test_what_the_hole_shows_is_chosen():
    x = torch.full((5, 3, 8, 8), 7, dtype=torch.uint8)
    seen = Cutout(seed=0, size=4, fill=128)(x, torch.arange(5), 0)
    assert set(seen.unique().tolist()) == {7, 128}


def test_a_hole_of_nothing_hides_nothing():
    assert not Cutout(seed=0, size=0).holes(torch.arange(9), 0, 5, 5).any()


def test_chances_are_counted():
    # Centres 0, 1, 2, 3 hide places -1..0, 0..1, 1..2, 2..3 of an axis of four.
    assert chances(4, 2).tolist() == [0.5, 0.5, 0.5, 0.25]
