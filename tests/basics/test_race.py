"""Who may race, at which rate, what is counted, what survives a checkpoint, and what is left in files."""

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from oracles import records, same_tree
from PIL import Image

from shinso.basics import race
from shinso.basics._race_pictures import COLOURS, looks, moments, scene
from shinso.basics._race_problems import NAMES, problem
from shinso.basics._race_runner import RATES, Runner, entries, every, tuned
from shinso.core.errors import UserError

FAST: dict[str, Any] = {"tuned": False, "steps": 40}


def run(**changes: Any) -> race.Race:
    return race.finished(race.Setup(**{**FAST, **changes}))


def test_options_are_read_as_plain_values():
    one, two, three = entries("sgd(lr=0.1, momentum=0.9),  adam( betas = (0.8, 0.99) ) ,momentum(lr=1e-2)")
    assert (one.kind.__name__, dict(one.options)) == ("SGD", {"lr": 0.1, "momentum": 0.9})
    assert two.label == "adam(betas=(0.8,0.99))" and dict(two.options) == {"betas": (0.8, 0.99)}
    assert dict(three.options) == {"momentum": 0.9, "lr": 0.01} and not three.tunable and two.tunable


@pytest.mark.parametrize("text", [
    "", "sgd(", "sgd)", "sgd(0.1)", "sgd(**{})", "sgd(lr=print(1))", "sgd(lr=__import__('os'))", "sgd(lr=0.1)x",
    "adamm", "sgd(lr=0.1", "sgd(lr=[i for i in 'a'])", "sgd(lr=" + "(" * 400 + ")" * 400 + ")", "a.b", "sgd(x=1)",
    "sgd(lr=-1)", "sgd(lr='a')", "1", "sgd(lr=0.1);adam", "_elementwise",
])  # fmt: skip
def test_what_is_no_method_is_told_in_one_line(text):
    with pytest.raises(UserError) as caught:
        race.build(race.Setup(optimisers=text))
    assert caught.value.where in ("optimisers", "optimiser") and "\n" not in caught.value.line()


def test_nothing_in_the_options_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        entries("sgd(lr=open('made', 'w'))")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_every_function_can_be_raced_on_and_drawn(name):
    course = run(function=name, optimisers="adam(lr=0.01),sgd(lr=0.001)", steps=4)
    assert all(len(r.path) == 5 and r.thrown < 0 for r in course.runners)
    plane = scene(course.problem, course.runners)
    assert np.linalg.norm(plane.directions @ plane.directions.T - np.eye(2)) < 1e-12
    x, y, heights = plane.grid(course.problem, 5)
    place = plane.middle + x[1] * plane.directions[0] + y[3] * plane.directions[1]
    assert heights[3, 1] == pytest.approx(float(course.problem.height(torch.from_numpy(place))), rel=1e-12)
    for r in course.runners:
        left, right, bottom, top = plane.window
        shown = plane.seen(np.array(r.path))
        assert ((left < shown[:, 0]) & (shown[:, 0] < right) & (bottom < shown[:, 1]) & (shown[:, 1] < top)).all()


def test_a_wrong_start_and_an_unknown_function_are_told():
    with pytest.raises(UserError, match="2 numbers"):
        race.build(race.Setup(start=(1.0,)))
    with pytest.raises(UserError, match="rastrigin"):
        problem("rastrign", 0)
    with pytest.raises(UserError, match="negative"):
        race.build(race.Setup(tolerance=-1.0))


@pytest.mark.parametrize("text", ["sgd(lr=0.1, momentum=0.9)", "adam(lr=0.3)", "rprop", "lbfgs(lr=1.0)"])
def test_a_runner_walks_as_torch_alone_would(text):
    r = run(optimisers=text).runners[0]
    w = torch.tensor([4.0, 1.0], dtype=torch.float64, requires_grad=True)
    theirs = r.entry.kind([w], **r.entry.options)

    def closure():
        theirs.zero_grad()
        loss = w[0] ** 2 / 2 + 5 * w[1] ** 2
        loss.backward()
        return loss

    for place in r.path[1:]:
        theirs.step(closure)  # pyright: ignore - torch says float where it takes a tensor
        np.testing.assert_allclose(place, w.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_the_network_is_torchs():
    p = problem("mlp", 3)
    into, shift, out, last = p.apart(p.start)
    from shinso.core.seed import generator
    from shinso.data.two_moons import draw

    points, classes = draw(120, generator(3, "race/mlp"))
    x = (points.double() - points.double().mean(0)) / points.double().std(0)
    score = torch.nn.functional.linear(torch.tanh(x @ into + shift), out, last)[:, 0]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(score, 1.0 - classes.double())
    assert float(p.height(p.start)) == pytest.approx(float(loss + 0.001 * p.start.square().sum()), rel=1e-12)
    assert torch.equal(p.together(p.apart(p.start)), p.start)


def test_the_logistic_minimum_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    p = problem("logistic", 1)
    assert p.on is not None
    w = p.minima[0].clone().requires_grad_()
    (slope,) = torch.autograd.grad(p.height(w), w)
    assert float(slope.norm()) < 1e-12
    # The examples themselves, times their sign, are the slopes of the single losses at 0: -x y / 2.
    zero = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    signed = torch.stack([-2 * torch.autograd.grad(p.on(zero, torch.tensor([k])), zero)[0] for k in range(p.examples)])
    sign = np.where(np.arange(p.examples) % 2, -1.0, 1.0)
    theirs = LogisticRegression(C=1 / (0.02 * p.examples), fit_intercept=False, tol=1e-12, max_iter=1000)
    theirs.fit(signed.numpy() * sign[:, None], sign)
    np.testing.assert_allclose(theirs.coef_[0], p.minima[0].numpy(), atol=1e-6)


def test_batches_cover_each_epoch_once():
    course = race.build(race.Setup(function="logistic", optimisers="sgd", batch_size=50))
    batches = [batch for batch in map(course.batch, range(8)) if batch is not None]
    assert sorted(torch.cat(batches[:4]).tolist()) == sorted(torch.cat(batches[4:]).tolist()) == list(range(200))
    assert not torch.equal(batches[0], batches[4])


def test_arriving_takes_five_steps_within_the_tolerance():
    """At rate 0.2 the height y jumps over the minimum for ever; a single lucky step does not count."""
    p = problem("bowl", 0)
    one, = entries("sgd(lr=0.1)")
    r = Runner(one, p, p.start, 1e-2, None)
    known = 8 * 0.9 ** (2 * np.arange(60))  # y is at 0 after the first step
    for _ in range(59):
        r.step(None)
    assert r.arrived == int(np.argmax(known <= 1e-2)) and r.heights[r.arrived] <= 1e-2 < r.heights[r.arrived - 1]


def test_the_trial_never_takes_a_rate_that_leaves_the_picture():
    p = problem("bowl", 0)
    for text in ("rmsprop", "adagrad", "sgd"):
        one, = entries(text)
        rate = tuned(one, p, p.start, p.tolerance, lambda i: None, 40)
        r = Runner(one, p, p.start, p.tolerance, rate)
        for _ in range(40):
            r.step(None)
        assert rate in RATES and np.abs(np.array(r.path)).max() < 4.6


def test_a_rate_that_is_given_is_kept_and_others_are_chosen():
    course = run(optimisers="sgd(lr=0.03),sgd", tuned=True, trial=10, steps=41)
    assert course.runners[0].rate == 0.03 and course.runners[1].rate != 0.03
    assert run(optimisers="sgd").runners[0].rate == 0.001, "untuned: the method's own"


def test_gradients_are_counted_and_two_of_a_kind_have_two_names():
    course = run(optimisers="sgd,sgd(lr=0.1),lbfgs(lr=1.0),adam", steps=40)
    assert course.names() == ["sgd", "sgd_2", "lbfgs", "adam"]
    assert [r.counts[-1] for r in course.runners[:2]] == [40, 40] and course.runners[2].counts[-1] > 40
    rows = course.standings()
    assert rows[0]["name"] == "lbfgs(lr=1.0)" and rows[0]["gradients_to_tolerance"] > rows[0]["steps_to_tolerance"] == 1


def test_who_is_thrown_out_stands_still_and_its_records_stay_finite():
    rows = records(race.build(race.Setup(optimisers="sgd(lr=5.0),adam", **FAST)))
    assert rows[-1]["thrown"] == 1 and all(np.isfinite(list(row.values())).all() for row in rows)
    assert rows[-1]["loss_sgd"] == rows[-2]["loss_sgd"] and rows[-1]["loss_adam"] != rows[-2]["loss_adam"]


@pytest.mark.parametrize("k", [0, 1, 17])
def test_a_resumed_race_is_the_same_with_tuned_rates_and_many_methods(k):
    setup = race.Setup(function="himmelblau", optimisers="momentum,adam,lbfgs(lr=0.5),lion,adagrad_da", steps=30,
                       trial=5, spread=0.1, seed=4)
    whole, first, again = race.build(setup), race.build(setup), race.build(setup)
    rows = records(whole)
    records(first, 0, k)
    again.restore(first.state())
    assert records(again, k) == rows[k:] and same_tree(again.state(), whole.state())


def test_the_files_hold_the_race():
    course = run(optimisers="sgd(lr=0.1),adam(lr=0.2)")
    files = course.files()
    assert set(files) == {"race.gif", "trajectories.json", "standings.csv"}
    told = json.loads(files["trajectories.json"])
    assert told["runners"][0]["path"] == [[float(f"{v:.7g}") for v in place] for place in course.runners[0].path]
    assert told["runners"][1]["method"] == "adam" and told["runners"][1]["options"] == {"lr": 0.2}
    assert len(told["grid"]["heights"]) == len(told["grid"]["y"]) == 61 and told["minima"] == [[0, 0]]
    assert told["grid"]["heights"][60][0] == pytest.approx(
        told["grid"]["x"][0] ** 2 / 2 + 5 * told["grid"]["y"][60] ** 2, rel=1e-6)  # fmt: skip
    assert files["standings.csv"].decode().splitlines()[0].startswith("name,rate,steps_to_tolerance")
    assert len(files["standings.csv"].decode().splitlines()) == 3


def test_the_animation_moves_ends_on_the_last_step_and_is_small():
    course = run(optimisers="sgd(lr=0.1),adam(lr=0.2)")
    content = course.files()["race.gif"]
    film: Any = Image.open(io.BytesIO(content))
    assert film.n_frames == len(moments(40)) == 41 and len(content) < 2_000_000
    film.seek(0)
    first = np.asarray(film.convert("RGB")).copy()
    film.seek(film.n_frames - 1)
    assert (first != np.asarray(film.convert("RGB"))).any(axis=2).sum() > 500
    assert film.info["loop"] == 0


def test_frames_begin_step_by_step_and_end_at_the_end():
    assert moments(10) == list(range(11))
    long = moments(5000)
    assert long[:8] == list(range(8)) and long[-1] == 5000 and len(long) < 85 and long == sorted(set(long))


def test_ten_have_colours_and_the_rest_is_grey():
    names = ",".join(f"sgd(lr={0.001 * (k + 1):.3f})" for k in range(12))
    course = run(optimisers=names, steps=40)
    styles = looks(course.runners)
    assert len({colour for colour, mark in styles.values() if mark}) == len(COLOURS) == 10
    grey = [label for label, (_, mark) in styles.items() if not mark]
    assert grey == ["sgd(lr=0.001)", "sgd(lr=0.002)"], "the two slowest"
    assert all(picture.shape[1] == 1000 for picture in course.pictures().values())


def test_all_are_the_methods_that_can():
    labels = {one.label for one in every()}
    assert {"momentum", "nesterov", "adam", "lbfgs", "sgd"} <= labels
    course = race.build(race.Setup(function="bowl", optimisers="all", tuned=False, steps=40))
    assert 25 < len(course.entries) <= len(labels)
    course.step(0)
    assert all(len(r.path) == 2 for r in course.runners)


def test_every_variant_can_be_built():
    for name, setup in race.VARIANTS.items():
        assert race.build(replace(setup, optimisers="adam")).total >= 40, name
