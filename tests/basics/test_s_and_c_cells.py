"""S- and C-cells against their formulas, and how planes are added."""

import dataclasses
from itertools import pairwise

import pytest
import torch
from oracles import records

from shinso.basics.s_and_c_cells import VARIANTS, Setup, build, c_cells, kept, patches, s_cells
from shinso.core.errors import UserError


def test_a_patch_is_what_stands_around_a_pixel():
    image = torch.arange(20.0).reshape(4, 5)
    seen = patches(image)
    assert seen.shape == (4, 5, 9)
    assert torch.equal(seen[2, 3].view(3, 3), image[1:4, 2:5])
    assert seen[0, 0].view(3, 3)[0].tolist() == [0, 0, 0]


def test_an_s_cell_is_fukushimas_formula_written_out():
    x, u, r = torch.rand(9).double(), torch.rand(9).double(), 3.0
    e, i = 100 * float(x @ u), 100 * float(x.norm() * u.norm())
    assert float(s_cells(x, u[None], r)) == pytest.approx(max(r * ((1 + e) / (1 + r / (1 + r) * i) - 1), 0))


def test_a_cell_says_nothing_to_nothing_and_one_to_a_strong_pattern_of_its_own():
    u = torch.rand(1, 9).double()
    assert float(s_cells(torch.zeros(9).double(), u, 4.0)) == 0
    assert float(s_cells(1e6 * u[0], u, 4.0)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_a_c_cell_is_the_largest_around(reach):
    s = torch.rand(6, 7, 2).double()
    c = c_cells(s, reach)
    for y, x in ((0, 0), (3, 4), (5, 6)):
        around = s[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        assert torch.equal(c[y, x], around.amax((0, 1)))


def test_a_single_corner_moves_out_of_the_s_cell_and_stays_in_the_c_cell():
    image = torch.zeros(9, 9).double()
    image[4, 4] = image[4, 5] = image[5, 4] = 1.0
    pattern = patches(image)[4, 4][None]
    for shift in ((0, 1), (1, 0), (-1, -1)):
        s, c = kept(image, pattern / pattern.norm(), 4.0, 1, shift)
        assert float(s) < 0.5 and float(c) == 1.0


def test_planes_are_added_one_by_one_until_all_is_familiar():
    rows = records(build(VARIANTS["default"]))
    planes = [row["planes"] for row in rows]
    assert all(b - a in (0, 1) for a, b in pairwise(planes))
    assert planes[39] > 25 and planes[-1] - planes[-41] <= 2
    assert rows[0]["silent"] == 1.0 and max(row["silent"] for row in rows[-40:]) < 0.05


def test_choosier_cells_need_more_planes_and_no_more_than_allowed():
    ends = {r: records(build(Setup(selectivity=r)))[-1]["planes"] for r in (2.0, 4.0, 8.0)}
    assert ends[2.0] < ends[4.0] < ends[8.0]
    rows = records(build(Setup(planes=3, selectivity=20.0)))
    assert rows[-1]["planes"] == 3 and all(row["c_kept"] == row["c_kept"] for row in rows)


def test_the_pictures_are_two():
    assert set(build(VARIANTS["smoke"]).pictures()) == {"templates", "cells"}


@pytest.mark.parametrize("wrong", [{"selectivity": 0.0}, {"reach": 0}, {"images": 0}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(Setup(), **wrong))
