"""Two laws on their way, against closed forms and torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import records
from scipy.stats import norm, wasserstein_distance
from torch.distributions import Normal, kl_divergence

from shinso.basics.divergences import VARIANTS, Setup, build
from shinso.core.errors import UserError


def test_gaussians_have_their_closed_forms_all_along():
    for row in records(build(replace(VARIANTS["default"], steps=20))):
        d = row["distance"]
        theirs = kl_divergence(Normal(torch.tensor(0.0).double(), 1), Normal(torch.tensor(d, dtype=torch.float64), 1))
        assert row["kl"] == pytest.approx(float(theirs), abs=1e-9)
        assert row["total_variation"] == pytest.approx(2 * norm.cdf(d / 2) - 1, abs=1e-3)
        for name, w in (("mmd_narrow", 0.2), ("mmd_wide", 5.0)):
            square = 2 * w / (w * w + 2) ** 0.5 * (1 - np.exp(-d * d / (2 * (w * w + 2))))
            assert row[name] == pytest.approx(square**0.5, abs=1e-9)


def test_the_grid_has_scipys_distance():
    program = build(VARIANTS["blocks"])
    for d in (0.3, 2.0, 7.0):
        p, q = program.pair(d)
        assert program.measures(p, q)["wasserstein"] == pytest.approx(
            wasserstein_distance(program.x, program.x, p, q), abs=1e-12)


def test_samples_come_near_the_distance():
    rows = records(build(replace(Setup(), samples=2000, steps=40)))
    assert max(abs(row["wasserstein_sampled"] - row["wasserstein"]) for row in rows) < 0.2


def test_blocks_without_anything_in_common_stand_still_but_for_w1_and_the_wide_kernel():
    rows = [row for row in records(build(VARIANTS["blocks"])) if row["distance"] > 2]
    for name in ("js", "kl", "total_variation"):
        assert rows[-1][name] - rows[0][name] < 1e-3, name
    assert rows[-1]["wasserstein"] - rows[0]["wasserstein"] > 5.5
    assert rows[-1]["mmd_wide"] > 2 * rows[0]["mmd_wide"]


@pytest.mark.parametrize("change", [{"reach": 13.0}, {"points": 10}, {"narrow": 0.0}, {"samples": 0}])
def test_what_the_grid_does_not_resolve_is_refused(change):
    with pytest.raises(UserError):
        build(replace(Setup(), **change))
