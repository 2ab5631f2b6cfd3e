"""Pages from their singular values."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import records

from shinso.basics import low_rank
from shinso.basics.low_rank import VARIANTS, Setup, build
from shinso.core.errors import UserError


@pytest.mark.parametrize("source", ["digits", "noise"])
def test_the_error_is_what_numpys_singular_values_say(source):
    program = build(Setup(source=source, across=2))
    s = np.linalg.svd(program.page, compute_uv=False)
    for i, row in enumerate(records(program)):
        assert row["measured"] == pytest.approx(np.sqrt((s[i:] ** 2).sum()), abs=1e-11)
        assert row["stretch"] == pytest.approx(s[i] if i < len(s) else 0.0, abs=1e-11)


def test_the_loss_only_falls():
    losses = [row["loss"] for row in records(build(VARIANTS["smoke"]))]
    assert losses[0] == 1 and (np.diff(losses) <= 1e-15).all() and losses[-1] < 1e-25


def test_the_page_holds_whole_digits():
    page = low_rank._page(Setup(across=2, seed=3))
    assert page.shape == (56, 56) and 0 <= page.min() < page.max() <= 1
    assert all(tile.max() > 0.5 for row in np.split(page, 2) for tile in np.split(row, 2, axis=1))


@pytest.mark.parametrize("across", [0, 1, 21])
def test_an_unreasonable_page_is_refused(across):
    with pytest.raises(UserError, match="across"):
        build(replace(Setup(), across=across))
