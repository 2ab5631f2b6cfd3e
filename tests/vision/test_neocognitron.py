"""The net of 1980 against its formulas cell by cell, and what it makes of drawings and of handwriting."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from oracles import records
from sklearn.linear_model import Ridge

from shinso.core.errors import UserError
from shinso.vision._retina import SIDE, drawings, read_out, retina, shown
from shinso.vision.neocognitron import VARIANTS, Setup, Stage, build, owners

DRAW = torch.Generator().manual_seed(3)


def stage(r=4.0, q=16.0, entering=2, planes=3, pad=2) -> Stage:
    return Stage(entering, planes, r=r, q=q, pad=pad, pool=5, draw=DRAW)


def test_the_layers_have_the_sizes_of_the_paper():
    program = build(Setup())
    sizes, u = [], shown(0, 0, 0)
    for one in program.stages:
        s = one.s_cells(u)[0]
        u = one.c_cells(s)
        sizes += [tuple(s.shape[1:]), tuple(u.shape[1:])]
    assert sizes == [(24, 16, 16), (24, 10, 10), (24, 8, 8), (24, 6, 6), (24, 2, 2), (24, 1, 1)]


def test_an_s_cell_is_the_formula_written_out():
    one, u = stage(), torch.rand(1, 2, 7, 7, generator=DRAW)
    one.b = torch.tensor([0.3, 1.0, 0.0])
    s, v = one.s_cells(u)
    wide = torch.nn.functional.pad(u, (2, 2, 2, 2))[0]
    for k, y, x in ((0, 0, 0), (1, 3, 4), (2, 6, 2)):
        patch = wide[:, y : y + 5, x : x + 5]
        seen = float((one.c[0] * patch**2).sum()) ** 0.5
        excited, inhibited = float((one.a[k] * patch).sum()), 2 * 4 / 5 * float(one.b[k]) * seen
        assert float(s[0, k, y, x]) == pytest.approx(max(4 * ((1 + excited) / (1 + inhibited) - 1), 0), abs=1e-5)
        assert float(v[0, 0, y, x]) == pytest.approx(seen, abs=1e-6)


def test_a_c_cell_is_the_formula_written_out():
    one, s = stage(), torch.rand(1, 3, 16, 16, generator=DRAW)
    c = one.c_cells(s)
    wide = torch.nn.functional.pad(s, (3, 4, 3, 4))[0]
    for y, x in ((0, 0), (4, 7), (9, 9)):
        each = (wide[:, 2 * y : 2 * y + 5, 2 * x : 2 * x + 5] * one.d).sum((1, 2))
        answer = ((1 + each) / (1 + each.mean()) - 1).clamp_min(0)
        assert torch.allclose(c[0, :, y, x], answer / (answer + 0.5), atol=1e-5)


def test_seeds_are_local_winners_one_for_a_plane():
    s = torch.zeros(3, 9, 9)
    s[0, 1, 1], s[1, 2, 2], s[0, 7, 7], s[2, 7, 1] = 1.0, 2.0, 3.0, 0.5
    assert sorted(stage().seeds(s)) == [(0, 7, 7), (1, 2, 2), (2, 7, 1)]
    assert stage().seeds(torch.zeros(3, 9, 9)) == []


def test_a_lesson_adds_what_the_seed_saw_and_nothing_else():
    one, u = stage(entering=1), torch.zeros(1, 1, 9, 9)
    u[0, 0, 4, 3:6] = 1
    a, b = one.a.clone(), one.b.clone()
    s, v = one.s_cells(u)
    seeds = one.seeds(s[0])
    assert one.learn(u) == len(seeds) > 0
    for k, y, x in seeds:
        patch = torch.nn.functional.pad(u, (2, 2, 2, 2))[0, :, y : y + 5, x : x + 5]
        assert torch.allclose(one.a[k] - a[k], 16 * one.c[0] * patch, atol=1e-6)
        assert float(one.b[k] - b[k]) == pytest.approx(8 * float(v[0, 0, y, x]))
    for k in set(range(3)) - {k for k, _, _ in seeds}:
        assert torch.equal(one.a[k], a[k]) and one.b[k] == b[k]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_starts_sort_the_drawings_too(seed):
    program = build(Setup(seed=seed))
    rows = records(program)
    assert all(row["planes_3"] <= later["planes_3"] for row, later in pairwise(rows))
    own, share = owners(program.winners())
    assert own == 5 and share > 0.9


def test_before_learning_nothing_is_sorted():
    assert owners(build(Setup()).winners())[0] < 5


def test_the_read_out_is_ridge_regression():
    X, asked = torch.randn(60, 7, generator=DRAW), torch.randn(500, 7, generator=DRAW)
    y = (X[:, 0] + 0.3 * torch.randn(60, generator=DRAW) > 0).long() + (X[:, 1] > 1).long()
    found = read_out(X, y, asked, 3)
    targets = 2 * torch.nn.functional.one_hot(y, 3).double() - 1
    ones = torch.cat([X, torch.ones(60, 1)], 1).double()
    answers = []
    for power in range(-6, 1):
        alpha = 10.0**power * float(torch.linalg.svdvals(ones).square().mean())
        fit = Ridge(alpha=alpha, fit_intercept=False).fit(ones.numpy(), targets.numpy())
        scores = fit.predict(torch.cat([asked, torch.ones(500, 1)], 1).double().numpy())
        answers.append(float((torch.from_numpy(scores).argmax(1) == found).double().mean()))
    assert max(answers) == 1.0


def test_a_retina_is_sixteen_pixels_of_grey():
    assert retina(torch.full((2, 3, 40, 30), 255, dtype=torch.uint8)).shape == (2, 1, SIDE, SIDE)
    assert torch.allclose(retina(torch.full((2, 3, 40, 30), 51, dtype=torch.uint8)), torch.tensor(0.2))
    assert drawings().shape == (5, 10, 8) and set(drawings().unique().tolist()) == {0.0, 1.0}


def test_pictures_of_data_are_seen_and_drawn():
    program = build(replace(VARIANTS["digits"], images=3))
    records(program)
    assert set(program.pictures()) == {"strokes", "layers"}
    assert set(program.evaluate("validation")) == {"accuracy", "loss", "pixels"}


@pytest.mark.parametrize("wrong", [{"selectivity": (1.0, 2.0)}, {"speed": (1.0, 0.0, 1.0)}, {"shift": 4}, {"images": 0},
                                   {"retina": "xor"}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(replace(Setup(), **wrong))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_on_mnist_a_read_out_of_its_cells_beats_one_of_pixels(seed, real_data):
    program = build(replace(VARIANTS["mnist"], seed=seed))
    for i in range(program.total):
        program.stages[0].learn(program.picture(i))
    found = program.evaluate("test")
    print(f"read-outs on MNIST from 1,000 labels: {found}")
    assert float(found["accuracy"]) > float(found["pixels"]) + 0.05
