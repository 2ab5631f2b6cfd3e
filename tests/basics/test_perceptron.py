"""The unit, its rule, the exact margin against other solvers, and the program."""

import dataclasses
from itertools import pairwise, product

import numpy as np
import pytest
from oracles import records
from scipy.optimize import linprog, minimize

from shinso.basics._hull import nearest_to_origin
from shinso.basics.perceptron import (
    TABLES,
    TRUTH,
    VARIANTS,
    Setup,
    build,
    fires,
    learn,
    mistake_bound,
    shown,
    signed,
    with_one,
)
from shinso.core.errors import UserError

Z = with_one(TRUTH)


def table(name: str) -> np.ndarray:
    return np.array(TABLES[name], dtype=bool)


def test_the_unit_fires_exactly_on_the_line():
    w = np.array([1.0, 1.0, -1.0])
    assert fires(w, Z).tolist() == [False, True, True, True]
    assert bool(fires(np.zeros(3), Z[0]))
    assert bool(fires(w, np.array([0.5, 0.5, 1.0])))
    assert not bool(fires(w, np.array([0.5, 0.5 - 1e-12, 1.0])))


def test_only_a_mistake_moves_the_weights_and_by_the_example():
    w, z = np.array([0.5, -1.0, 0.25]), np.array([1.0, 2.0, 1.0])
    assert not fires(w, z)
    kept, wrong = shown(w, z, target=False)
    assert not wrong and kept.tolist() == w.tolist()
    moved, wrong = shown(w, z, target=True)
    assert wrong and moved.tolist() == (w + z).tolist()
    moved, wrong = shown(-w, z, target=False)
    assert wrong and moved.tolist() == (-w - z).tolist()


@pytest.mark.parametrize("name", TABLES)
def test_what_a_linear_programme_separates_is_learned_and_nothing_else(name):
    feasible = linprog(np.zeros(3), A_ub=-signed(Z, table(name)), b_ub=-np.ones(4), bounds=(None, None)).status == 0
    w, _, done = learn(Z, table(name), sweeps=200)
    assert done == feasible == (name != "xor")
    assert ((fires(w, Z) == table(name)).all()) == feasible


@pytest.mark.parametrize("bits", list(product((0, 1), repeat=4)))
def test_the_hull_decides_as_a_linear_programme_does(bits):
    targets = np.array(bits, dtype=bool)
    status = linprog(np.zeros(3), A_ub=-signed(Z, targets), b_ub=-np.ones(4), bounds=(None, None)).status
    assert (mistake_bound(Z, targets) is not None) == (status == 0)


def test_the_margins_of_and_or_nand_are_those_of_the_quadratic_programme():
    for name in ("and", "or", "nand"):
        points = signed(Z, table(name))
        apart = {"type": "ineq", "fun": lambda w, P=points: P @ w - 1, "jac": lambda w, P=points: P}
        best = minimize(lambda w: w @ w, np.ones(3), jac=lambda w: 2 * w, method="SLSQP", constraints=apart,
                        options={"ftol": 1e-15})
        assert mistake_bound(Z, table(name)) == pytest.approx(3 * float(best.fun), rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_point_of_a_hull_is_nearer_than_every_other(seed):
    draw = np.random.default_rng(seed)
    points = draw.normal(size=(draw.integers(1, 30), draw.integers(1, 6))) + draw.normal() * 2
    p = nearest_to_origin(points)
    mixtures = draw.dirichlet(np.full(len(points), 0.2), size=2000) @ points
    assert (np.linalg.norm(mixtures, axis=1) >= np.linalg.norm(p) - 1e-9).all()
    assert (points @ p >= p @ p - 1e-9).all()


def test_duplicated_and_collinear_points_do_not_disturb_the_hull():
    points = np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0], [1.0, -1.0], [1.0, 0.0], [1.0, 0.0]])
    assert nearest_to_origin(points) == pytest.approx([1.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("name", ["and", "or", "nand"])
def test_the_program_learns_the_table_and_then_rests(name):
    rows = records(build(Setup(problem=name, epochs=50)))
    learned = next(i for i, row in enumerate(rows) if row["loss"] == 0 and row["mistakes"] == rows[-1]["mistakes"])
    assert learned < len(rows) - 4
    assert rows[-1]["mistakes"] <= rows[-1]["mistakes_bound"]


def test_xor_has_no_bound_never_rests_and_keeps_its_weights_bounded():
    rows = records(build(Setup(problem="xor", epochs=500)))
    assert all("mistakes_bound" not in row for row in rows)
    assert all(row["loss"] > 0 for row in rows)
    sweeps = [row["mistakes"] for row in rows[3::4]]
    assert all(b > a for a, b in pairwise(sweeps))
    assert max(row["weight_norm"] for row in rows) <= 3


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_the_world_keeps_its_margin_and_is_learned_within_the_bound(seed, dimension):
    program = build(Setup(problem="separable", points=20, dimension=dimension, margin=0.3, seed=seed, epochs=1000))
    gamma = np.linalg.norm(nearest_to_origin(signed(program.z, program.targets)))
    assert gamma > 0
    w, mistakes, done = learn(program.z, program.targets, 1000)
    assert done and mistakes <= program.bound
    own = signed(program.z, program.targets) @ w
    assert own.min() / np.linalg.norm(w) <= gamma * (1 + 1e-9), "no separator has more than the largest margin"


def test_evaluation_uses_new_points_of_the_same_world():
    program = build(Setup(problem="separable", points=500, epochs=30, margin=0.05))
    before = float(program.evaluate("test")["accuracy"])
    records(program)
    accuracies = {split: float(program.evaluate(split)["accuracy"]) for split in ("validation", "test")}
    assert before < 0.9 < min(accuracies.values())


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"points": 0}, {"dimension": -1}, {"margin": 0.0},
                                   {"margin": float("nan")}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(dataclasses.replace(VARIANTS["smoke"], **wrong))


@pytest.mark.parametrize("problem", ["xor", "separable"])
def test_the_pictures_show_the_boundary_and_the_failure(problem):
    program = build(dataclasses.replace(VARIANTS["smoke"], problem=problem))
    before = program.pictures()
    records(program)
    after = program.pictures()
    assert set(after) == {"line", "distances"}
    assert all((after[name] != before[name]).any() for name in after)


def test_in_more_than_two_dimensions_only_the_distances_are_drawn():
    assert set(build(Setup(problem="separable", dimension=3)).pictures()) == {"distances"}
