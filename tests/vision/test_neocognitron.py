"""The net of 1980 against its formulas cell by cell, and what it makes of drawings and of handwriting."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles import records
from sklearn.linear_model import LogisticRegression, Ridge

from shinso.core.errors import UserError
from shinso.core.seed import generator
from shinso.data.examples import Examples, Split
from shinso.vision import _retina as eye
from shinso.vision._retina import SIDE, drawings, least_squares, logistic, owners, retina, shown, usual
from shinso.vision.neocognitron import VARIANTS, Setup, Stage, build

DRAW = torch.Generator().manual_seed(3)


def stage(r=4.0, q=16.0, entering=2, planes=3, pad=2) -> Stage:
    return Stage(entering, planes, r=(r, r), q=q, pad=pad, pool=5, draw=DRAW)


def test_the_layers_have_the_sizes_of_the_paper():
    program = build(Setup())
    sizes, u = [], shown(0, 0, 0)
    for one in program.nets[0]:
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
        seen = float((one.c * patch**2).sum()) ** 0.5
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
        assert torch.allclose(one.a[k] - a[k], 16 * one.c * patch, atol=1e-6)
        assert float(one.b[k] - b[k]) == pytest.approx(8 * float(v[0, 0, y, x]))
    for k in set(range(3)) - {k for k, _, _ in seeds}:
        assert torch.equal(one.a[k], a[k]) and one.b[k] == b[k]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_other_starts_sort_the_drawings_too(seed):
    program = build(Setup(seed=seed))
    rows = records(program)
    assert all(row["planes_3"] <= later["planes_3"] for row, later in pairwise(rows))
    own, share = owners(program.winners())
    assert own == 5 and share > 0.95


def test_before_learning_nothing_is_sorted():
    assert owners(build(Setup()).winners())[0] < 5


def labelled(n: int, wide: int) -> tuple[torch.Tensor, torch.Tensor]:
    X = torch.randn(n, wide, generator=DRAW)
    return X, (X[:, 0] + 0.3 * torch.randn(n, generator=DRAW) > 0).long() + (X[:, 1] > 1).long()


@pytest.mark.parametrize("wide", [7, 90])
def test_least_squares_is_ridge_regression_with_the_strength_that_leaving_one_out_prefers(wide):
    (X, y), (asked, _) = labelled(24, wide), labelled(500, wide)
    targets = (2 * torch.nn.functional.one_hot(y, 3) - 1).double().numpy()
    unit = float((X - X.mean(0)).double().square().sum()) / 24  # the mean square length
    fits = [Ridge(alpha=24 * unit * 10 ** (power / 2)) for power in range(4, -15, -1)]
    left_out = []
    for fit in fits:
        kept = [np.arange(24) != k for k in range(24)]
        said = [fit.fit(X.numpy()[k], targets[k]).predict(X.numpy()[~k])[0].argmax() for k in kept]
        left_out.append(int((np.array(said) == y.numpy()).sum()))
    chosen = fits[int(np.argmax(left_out))].fit(X.numpy(), targets)
    assert np.array_equal(chosen.predict(asked.numpy()).argmax(1), least_squares(X, y, 3)(asked).numpy())


@pytest.mark.parametrize("wide", [7, 90])
def test_the_other_read_out_is_softmax_regression(wide):
    (X, y), (asked, _) = labelled(60, wide), labelled(500, wide)
    unit = float((X - X.mean(0)).double().square().sum()) / 60
    found, agreed = logistic(X, y, 3)(asked).numpy(), []
    for power in range(1, 9):
        fit = LogisticRegression(C=1 / (2 * 60 * unit * 10.0**-power), max_iter=5000, tol=1e-8)
        agreed.append(float((fit.fit(X.numpy(), y.numpy()).predict(asked.numpy()) == found).mean()))
    assert max(agreed) >= 0.998


def test_a_plane_stands_for_the_class_to_which_it_answers_most():
    said = torch.tensor([[1.0, 0, 0], [2, 1, 0], [0.5, 0.2, 0], [0, 1, 0], [0, 0, 0]])
    assert usual(said, torch.tensor([1, 1, 2, 0, 2]), 3).tolist() == [1, 0, -1]
    assert eye.winners(said).tolist() == [0, 0, 0, 1, -1]


def test_moved_is_one_pixel_to_the_right():
    light = torch.rand(2, 1, SIDE, SIDE, generator=DRAW)
    beside = eye.moved(light)
    assert torch.equal(beside[..., 1:], light[..., :-1]) and not beside[..., 0].any()


def test_a_retina_is_sixteen_pixels_of_grey():
    assert retina(torch.full((2, 3, 40, 30), 255, dtype=torch.uint8)).shape == (2, 1, SIDE, SIDE)
    assert torch.allclose(retina(torch.full((2, 3, 40, 30), 51, dtype=torch.uint8)), torch.tensor(0.2))
    assert drawings().shape == (5, 10, 8) and set(drawings().unique().tolist()) == {0.0, 1.0}


def test_a_second_selectivity_answers_more_broadly_than_it_learned():
    u = torch.rand(40, 2, 5, 5, generator=DRAW)
    one = Stage(2, 3, r=(9.0, 2.0), q=16.0, pad=0, pool=2, draw=DRAW)
    one.learn(u[:1])
    strict, broad = (one.s_cells(u, learning=learning)[0][:, one.b > 0] > 0 for learning in (True, False))
    assert bool((broad | ~strict).all()) and int(broad.sum()) > int(strict.sum())


def test_a_stage_learns_after_the_one_below():
    rows = records(build(Setup(images=10)))
    assert all(row["planes_2"] == row["planes_3"] == 0 for row in rows[:10])
    assert len({row["planes_1"] for row in rows[9:]}) == 1 and rows[19]["planes_2"] > 0 == rows[19]["planes_3"]
    assert rows[29]["planes_3"] > 0


def test_the_next_start_is_the_run_with_the_next_seed():
    both, second = build(replace(VARIANTS["digits"], images=4, starts=2)), build(
        replace(VARIANTS["digits"], images=4, seed=1))
    rows = records(both)
    assert rows[12:] == records(second)
    assert all(torch.equal(a.a, b.a) for a, b in zip(both.nets[1], second.nets[0], strict=True))


def test_data_without_pictures_that_can_be_asked_say_nothing():
    program = build(replace(VARIANTS["digits"], images=2))
    assert program.source is not None
    none = Examples(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    program.source = replace(program.source, test=none)
    assert program.evaluate("test") == {"accuracy": 0.0, "pixels": 0.0, "least_gain": 0.0, "loss": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planes_stand_for_classes_of_handwriting(seed):
    program = build(replace(VARIANTS["digits"], seed=seed))
    records(program)
    found = program.evaluate("test")
    print(f"packaged digits, seed {seed}: {found}")
    assert set(program.pictures()) == {"strokes", "layers", "planes", "read_outs"}
    assert float(found["answered"]) > 0.9 and float(found["own_class"]) > 0.8
    assert float(found["accuracy"]) > float(found["pixels"]) + 0.01
    assert float(found["moved_accuracy"]) > float(found["moved_pixels"]) + 0.3


@pytest.mark.parametrize("wrong", [{"selectivity": (1.0, 2.0)}, {"strictness": (1.0, -2.0, 1.0)},
                                   {"speed": (1.0, 0.0, 1.0)}, {"planes": (24, 0, 24)}, {"shift": 4},
                                   {"images": 0}, {"starts": 0}, {"retina": "xor"}])
def test_a_setup_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        build(replace(Setup(), **wrong))


def whole(split: Split, seed: int, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The same examples as the program draws, every pixel of them."""
    index = torch.randperm(len(split), generator=generator(seed, name))[:10_000]
    return split.pick(index).float() / 255, split.targets[index]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_on_mnist_read_outs_of_its_cells_beat_those_of_pixels(seed, real_data):
    program = build(replace(VARIANTS["mnist"], seed=seed, starts=1))
    records(program)
    found = program.evaluate("test")
    print(f"MNIST, seed {seed}: {found}")
    assert program.source is not None
    (X, y), (Xt, yt) = (whole(split, seed, name) for split, name in ((program.source.train, "labels"),
                                                                     (program.source.test, "test")))
    for name, fit in (("accuracy", least_squares), ("logistic_accuracy", logistic)):
        right = float((fit(X[:1000], y[:1000], 10)(Xt) == yt).double().mean())
        print(f"the same from 28 x 28 pixels instead of {name}: {right:.4f}")
        assert float(found[name]) > right + 0.05
    assert float(found["least_gain"]) > 0.05
    assert min(float(found["accuracy"]), float(found["second"])) > max(float(found["pixels"]), float(found["untaught"]))
    assert float(found["moved_accuracy"]) > float(found["moved_pixels"]) + 0.2
