"""A program is undisturbed by being looked at: judged, drawn, asked for examples; and what it draws is fit to see."""

import copy
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import digest, unpainted
from oracles import records, same_tree
from toy import Walk
from traces import PATHS, Course, course, followed, fresh

from shinso.catalogue import index
from shinso.core.figure import sheet
from shinso.core.record import plain
from shinso.engine.checkpoint import Loaded
from shinso.engine.program import Evaluated, Networked, Pictured
from shinso.engine.saving import resume
from shinso.report.phrases import PHRASES


@pytest.mark.parametrize("path", PATHS)
def test_looking_does_not_change_the_course_and_shows_what_is_fit_to_see(path):
    pictures = undisturbed(fresh(path), fresh(path), course(path))
    if pictures is not None:
        assert_fit_to_see(pictures, {**PHRASES, **index.card(path).words})


def undisturbed(program: object, untouched: object, seen: Course) -> dict[str, np.ndarray] | None:
    """Evaluation, pictures and examples, in the course and behind it, leave records and networks as they are.

    What a look found may be remembered in the state (the best weights so far), so only without networks the whole
    state must stay. Pictures are drawn often but painted once; those are given back, None where there are none.
    """
    rows, painted = [], None
    for i in range(len(seen.rows)):
        rows += records(program, i, i + 1)
        if i == 3:
            with unpainted():
                assert looked_at(program) == looked_at(program), f"two looks at step {i} differ"
            if isinstance(program, Pictured):
                painted = program.pictures()
    with unpainted():
        looked_at(program)
    assert rows == seen.rows, "another course"
    if isinstance(program, Networked) and isinstance(untouched, Networked):
        resume(untouched, {}, Loaded(len(rows), copy.deepcopy(seen.states[-1]), Path("memory"), {}))
        for name, network in untouched.networks().items():
            assert same_tree(program.networks()[name].state_dict(), network.state_dict()), name
    else:
        assert same_tree(program.state(), seen.states[-1]["program"])
    return painted


def looked_at(program: object) -> dict[str, object]:
    seen: dict[str, object] = {}
    before = modes(program)
    if isinstance(program, Evaluated):
        seen = {split: plain(program.evaluate(split)) for split in ("validation", "test")}
        assert modes(program) == before, "evaluation leaves a network in another mode"
    if isinstance(program, Pictured):
        seen["pictures"] = {name: picture.tobytes() for name, picture in program.pictures().items()}
        assert modes(program) == before, "drawing leaves a network in another mode"
    if isinstance(program, Networked):
        seen["examples"] = sorted(program.example())
    return seen


def modes(program: object) -> dict[str, list[bool]]:
    """Whether each part of each network is in training mode."""
    if not isinstance(program, Networked):
        return {}
    return {name: [part.training for part in network.modules()] for name, network in program.networks().items()}


def assert_fit_to_see(pictures: dict[str, np.ndarray], words: dict) -> None:
    assert pictures
    for name, picture in pictures.items():
        assert f"picture.{name}" in words, f"{name} has no caption in the report"
        assert name.replace("_", "").replace("-", "").isalnum() and name.isascii()
        assert isinstance(picture, np.ndarray) and picture.dtype == np.uint8, name
        assert picture.ndim == 3 and picture.shape[2] == 3 and min(picture.shape[:2]) >= 8, (name, picture.shape)
        assert picture.min() < picture.max(), f"{name} is empty"


class DrawsFromItsGenerator(Walk):
    def pictures(self):
        torch.randn(2, generator=self.random)
        return super().pictures()


class MovesToBeDrawn(Walk):
    def pictures(self):
        self.place = self.place + 1e-6
        return super().pictures()


class MovesWhenJudged(Walk):
    def evaluate(self, split):
        self.random.manual_seed(1)
        return super().evaluate(split)


class IsDrawnAnew(Walk):
    """One title differs from look to look, by one letter."""

    looks = 0

    def pictures(self):
        self.looks += 1
        return {"walk": self.drawn(f"Look {self.looks}")}


class Networks(Walk):
    def __init__(self):
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())

    def networks(self):
        return {"model": self.network}

    def example(self):
        return {"model": torch.zeros(1, 2)}

    def state(self):
        return {**super().state(), "network": self.network.state_dict()}

    def restore(self, state):
        super().restore(state)
        self.network.load_state_dict(state["network"])


class StopsTraining(Networks):
    def evaluate(self, split):
        self.network[1].eval()
        return super().evaluate(split)


class ChangesAWeight(Networks):
    def pictures(self):
        with torch.no_grad():
            self.network[0].bias[0] += 1e-6
        return super().pictures()


def built(kind: type[Walk]) -> Walk:
    torch.manual_seed(0)
    return kind()


@pytest.mark.parametrize("kind", [Walk, Networks])
def test_a_faultless_program_is_undisturbed(kind):
    undisturbed(built(kind), built(kind), followed(built(kind)))


@pytest.mark.parametrize(("kind", "said"), [
    (DrawsFromItsGenerator, "another course"), (MovesToBeDrawn, "two looks"), (MovesWhenJudged, "another course"),
    (IsDrawnAnew, "two looks"), (StopsTraining, "another mode"), (ChangesAWeight, "model"),
])  # fmt: skip
def test_a_look_that_disturbs_is_seen(kind, said):
    seen = followed(built(kind))
    with pytest.raises(AssertionError, match=said):
        undisturbed(built(kind), built(kind), seen)


@pytest.mark.parametrize(("pictures", "fit"), [
    ({"walk": np.eye(9, dtype=np.uint8)[..., None].repeat(3, 2)}, True), ({}, False),
    ({"walk": np.zeros((9, 9, 3), np.uint8)}, False), ({"walk": np.eye(9)[..., None].repeat(3, 2)}, False),
    ({"walk": np.eye(9, dtype=np.uint8)}, False), ({"run": np.eye(9, dtype=np.uint8)[..., None].repeat(3, 2)}, False),
])  # fmt: skip
def test_an_unfit_picture_is_seen(pictures, fit):
    with nullcontext() if fit else pytest.raises(AssertionError):
        assert_fit_to_see(pictures, {"picture.walk": ()})


MARKS = {
    "plot": lambda axes, x: axes.plot(x, x**2),
    "colour": lambda axes, x: axes.plot([1, 2], color=(0.5, 0.5, x[5] / 20)),
    "scatter": lambda axes, x: axes.scatter(x, x),
    "bar": lambda axes, x: axes.bar(range(12), x),
    "hist": lambda axes, x: axes.hist(x, bins=[0, 4.5, 5.000_005, 20]),
    "fill_between": lambda axes, x: axes.fill_between(range(12), x),
    "axhline": lambda axes, x: axes.axhline(x[5]),
    "quiver": lambda axes, x: axes.quiver(range(12), x, x, x),
    "imshow": lambda axes, x: axes.imshow(np.sin(x)[None]),
    "range of colours": lambda axes, x: axes.imshow(np.eye(3), vmax=x[5]),
    "pcolormesh": lambda axes, x: axes.pcolormesh(np.outer(x, x)),
    "contour": lambda axes, x: axes.contour(np.outer(x, x)),
    "contourf": lambda axes, x: axes.contourf(np.outer(x, x)),
    "text": lambda axes, x: axes.text(0.5, 0.5, f"{x[5]:.6f}"),
    "annotate": lambda axes, x: axes.annotate("", (0, 0), (0.5, x[5]), arrowprops={}),
    "title": lambda axes, x: axes.set_title(f"{x[5]:.6f}"),
    "label": lambda axes, x: axes.set_xlabel(f"{x[5]:.6f}"),
    "legend": lambda axes, x: axes.legend(axes.plot([1, 2]), [f"{x[5]:.6f}"]),
    "ticks": lambda axes, x: axes.set_xticks(x),
    "tick labels": lambda axes, x: axes.set_xticks(range(12), [f"{v:.6f}" for v in x]),
    "limits": lambda axes, x: axes.set_xlim(0, x[5]),
    "scale": lambda axes, x: axes.set_yscale("linear" if x[5] == 5 else "log"),
    "figimage": lambda axes, x: axes.figure.figimage(np.outer(x, x)),
    "plot 3d": lambda axes, x: axes.plot(x, x, x),
    "scatter 3d": lambda axes, x: axes.scatter(x, x, x),
    "surface 3d": lambda axes, x: axes.plot_surface(*np.mgrid[:12, :12], np.outer(x, x)),
}


@pytest.mark.parametrize("kind", MARKS)
def test_a_drawing_is_its_digest(kind):
    """Alike for the same drawing, another one where a number is changed in its sixth place."""
    def drawn(number: float) -> bytes:
        figure = sheet(200, 150)
        axes = figure.add_subplot(projection="3d" if kind.endswith("3d") else None)
        MARKS[kind](axes, np.where(np.arange(12) == 5, number, np.arange(12.0)))
        return digest(figure)

    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(5.000_01)
