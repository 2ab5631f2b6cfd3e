"""Our two against scikit-learn's, the others against chance, and what the comparison says."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from oracles import records

from shinso.basics.baselines import (
    METHODS,
    VARIANTS,
    Setup,
    _half,
    answers,
    build,
    k_means,
    naive_bayes,
    nearest,
    spread,
)
from shinso.core.errors import UserError

DRAW = np.random.default_rng(0)
BLOBS = np.concatenate([DRAW.normal(size=(60, 2)) + centre for centre in ([0, 0], [9, 0], [0, 9])])
KINDS = np.repeat([2, 5, 7], 60)


def test_the_nearest_centre_is_the_one_at_the_smallest_distance():
    centres = DRAW.normal(size=(7, 2))
    truth = np.linalg.norm(BLOBS[:, None] - centres, axis=2).argmin(1)
    assert (nearest(BLOBS, centres) == truth).all()
    assert spread(BLOBS, centres) == pytest.approx((np.linalg.norm(BLOBS - centres[truth], axis=1) ** 2).sum())


def test_three_heaps_are_found_and_the_objective_only_falls():
    centres, course = k_means(BLOBS, BLOBS[[0, 60, 120]], 100)
    assert np.allclose(centres, [BLOBS[KINDS == k].mean(0) for k in (2, 5, 7)])
    assert all(b <= a for a, b in pairwise(course))
    assert course[-1] == pytest.approx(spread(BLOBS, centres))


def test_a_centre_without_points_stays_where_it_is():
    centres, _ = k_means(BLOBS, np.array([[0.0, 0.0], [9.0, 0.0], [1e6, 1e6]]), 50)
    assert centres[2].tolist() == [1e6, 1e6] and np.isfinite(centres).all()


def test_naive_bayes_is_scikit_learns_on_heaps_and_names_its_classes():
    from sklearn.naive_bayes import GaussianNB

    asked = DRAW.normal(size=(300, 2)) * 6 + 3
    assert (naive_bayes(BLOBS, KINDS, asked) == GaussianNB().fit(BLOBS, KINDS).predict(asked)).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_heaps_and_says_the_same_twice(method):
    said = answers(method, BLOBS, KINDS, BLOBS, 3)
    assert (said == KINDS).mean() > 0.95
    assert (answers(method, BLOBS, KINDS, BLOBS, 3) == said).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_far_above_chance_on_digits(method):
    x, y, asked, truth = _half()
    assert (answers(method, x, y, asked, 1) == truth).mean() > 0.8


def test_the_run_goes_through_every_method_on_every_draw():
    program = build(VARIANTS["smoke"])
    rows = records(program)
    assert not np.isnan(program.found).any() and program.found.shape == (12, 4)
    assert [len(row) for row in rows[:5]] == [2, 3, 4, 5, 5]
    for k, name in enumerate(program.methods):
        assert rows[-1][f"accuracy_{name}"] == pytest.approx(np.mean([row["accuracy"] for row in rows[k::4]]))
    assert set(program.pictures()) == {"ranking", "centres"}


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"examples": 10}, {"examples": 1790}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(Setup(), **wrong))
