"""Photographs, scans and drawings brought into MNIST's form: a classifier trained on MNIST still reads them."""


import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from writing import photograph

from shinso.core.errors import UserError
from shinso.data.examples import Description, open_data
from shinso.data.ink import stroke_width
from shinso.data.parts import label
from shinso.data.prepare import handwriting, prepare

ABOUT = Description(name="d", classes=tuple("0123456789"), shape=(1, 28, 28), mean=(0.13,), std=(0.31,),
                    form="handwriting")


def nearest(prepared: np.ndarray, known: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Labels by the nearest of the known images after a slight blur: a classifier with nothing to train."""
    def features(pixels: torch.Tensor) -> torch.Tensor:
        soft = torch.nn.functional.avg_pool2d(pixels.float()[:, None], 3, 1, 1).flatten(1)
        return soft / soft.norm(dim=1, keepdim=True)

    return labels[(features(torch.from_numpy(prepared)) @ features(known).T).argmax(1)]


def share_read(count: int, tmp_path, prepared_by) -> float:
    data = open_data("mnist")
    rng = np.random.default_rng(0)
    prepared = []
    for i in range(count):
        path = tmp_path / f"{i}.image"
        path.write_bytes(photograph(data.test.inputs[i, 0].numpy(), rng))
        prepared.append(prepared_by(path))
    said = nearest(np.stack(prepared), data.train.inputs[:30_000, 0], data.train.targets[:30_000])
    return (said == data.test.targets[:count]).double().mean().item()


def test_photographs_are_read_and_without_preparation_they_are_not(real_data, tmp_path):
    if not (real_data / "mnist").is_dir():
        pytest.skip("MNIST is not among the data sets on this machine")

    def merely_resized(path):
        return np.asarray(Image.open(path).convert("L").resize((28, 28)))

    assert share_read(40, tmp_path, lambda path: prepare(path, ABOUT)[0].numpy()) >= 0.95
    assert share_read(12, tmp_path, merely_resized) < 0.5


@pytest.mark.slow
def test_many_photographs_are_read(real_data, tmp_path):
    if not (real_data / "mnist").is_dir():
        pytest.skip("MNIST is not among the data sets on this machine")
    assert share_read(400, tmp_path, lambda path: prepare(path, ABOUT)[0].numpy()) >= 0.95


def drawn(*, size=(300, 300), at=(90, 60), high=160, width=12, paper="white", pen="black") -> Image.Image:
    """A seven with a bar through it, drawn as with a mouse."""
    image = Image.new("RGB", size, paper)
    points = [(at[0] + u * high, at[1] + v * high) for u, v in ((0.05, 0.05), (0.65, 0.05), (0.3, 1.0))]
    draw = ImageDraw.Draw(image)
    draw.line(points, fill=pen, width=width, joint="curve")
    bar = [(at[0] + u * high, at[1] + 0.5 * high) for u in (0.3, 0.6)]
    draw.line(bar, fill=pen, width=width)
    return image


def compared(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(float) * b).sum() / np.linalg.norm(a.astype(float)) / np.linalg.norm(b.astype(float)))


@pytest.mark.parametrize("changed", [
    {"paper": "black", "pen": "white"}, {"paper": "yellow", "pen": "red"}, {"paper": (90, 90, 90), "pen": (40, 40, 60)},
    {"at": (10, 130)}, {"size": (1200, 900), "at": (700, 500)},
    {"size": (1600, 1600), "at": (400, 300), "high": 900, "width": 70},
    {"size": (60, 60), "at": (15, 10), "high": 40, "width": 3}, {"width": 3}, {"width": 22}])
def test_place_size_colour_and_pen_do_not_matter(changed):
    plain = handwriting(np.asarray(drawn()), "x")
    other = handwriting(np.asarray(drawn(**changed)), "x")
    assert compared(plain, other) > 0.85


def test_the_form_is_that_of_mnist():
    ready = handwriting(np.asarray(drawn(width=4)), "x")
    rows, columns = np.flatnonzero((ready > 60).any(1)), np.flatnonzero((ready > 60).any(0))
    assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22
    mass = ready.astype(float)
    assert abs((mass.sum(1) * np.arange(28)).sum() / mass.sum() - 14) < 0.5
    assert abs((mass.sum(0) * np.arange(28)).sum() / mass.sum() - 14) < 0.5
    assert ready.max() == 255
    assert 1.5 < stroke_width(np.kron(ready, np.ones((4, 4))) > 127) / 4 < 4.5


def test_specks_and_the_edge_of_a_table_are_left_out():
    plain = handwriting(np.asarray(drawn()), "x")
    dirty = drawn()
    draw = ImageDraw.Draw(dirty)
    for x, y in ((20, 30), (250, 40), (30, 270)):
        draw.ellipse((x, y, x + 4, y + 4), fill="black")
    draw.rectangle((285, 0, 300, 300), fill=(60, 40, 30))
    assert compared(plain, handwriting(np.asarray(dirty), "x")) > 0.98


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_sheet_holds_no_writing(level, tmp_path):
    rng = np.random.default_rng(0)
    noisy = (level + rng.normal(0, 3, (300, 400, 3))).clip(0, 255).astype(np.uint8)
    for pixels in (noisy, np.full((50, 70, 3), level, np.uint8), np.full((1, 1), level, np.uint8)):
        path = tmp_path / "blank.png"
        Image.fromarray(pixels).save(path)
        with pytest.raises(UserError, match="no writing found") as caught:
            prepare(path, ABOUT)
        assert caught.value.where == str(path)


def test_pictures_are_fitted_and_cropped_to_their_middle(tmp_path):
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = (10, 200, 30)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    about = Description(name="p", classes=("a",), shape=(3, 16, 16), mean=(0.0,) * 3, std=(1.0,) * 3, form="picture")
    ready = prepare(tmp_path / "wide.png", about)
    assert ready.dtype == torch.uint8
    assert ready[:, 4:12, 4:12].float().mean((1, 2)).tolist() == [10, 200, 30]
    grey = Description(name="p", classes=("a",), shape=(1, 16, 16), mean=(0.0,), std=(1.0,), form="picture")
    assert prepare(tmp_path / "wide.png", grey).shape == (1, 16, 16)


def test_points_are_no_images(tmp_path):
    about = Description(name="xor", classes=("a", "b"), shape=(2,), mean=(0.0, 0.0), std=(1.0, 1.0), form="points")
    with pytest.raises(UserError, match="takes points"):
        prepare(tmp_path / "x.png", about)


def test_parts_are_those_of_a_flood_fill():
    rng = np.random.default_rng(0)
    for density in (0.2, 0.4, 0.6):
        mask = rng.random((25, 30)) < density
        left, theirs = {tuple(p) for p in np.argwhere(mask)}, []
        while left:
            front, part = [left.pop()], set()
            while front:
                y, x = front.pop()
                part.add((y, x))
                near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
                left -= near
                front += near
            theirs.append(frozenset(part))
        ours = [frozenset((row, x) for row, start, end in p.runs for x in range(start, end))
                for p in label(mask, np.ones(mask.shape))]
        assert set(ours) == set(theirs)
        assert sorted(p.mass for p in label(mask, np.ones(mask.shape))) == sorted(map(len, theirs))
