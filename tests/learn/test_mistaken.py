"""Confusion and mistakes: names fit their places, every number is drawn, and a thousand classes stay one picture."""

import unicodedata

import numpy as np
import pytest
import torch

from shinso.learn import mistaken
from shinso.learn.mistaken import draw_confusion, draw_mistakes, fitted, most_confused

LONG = "とても長い名前のクラスでどうしても収まらないもの"


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


@pytest.mark.parametrize("name", ["cat", "犬", LONG, "a" * 50, "犬a" * 9, "", "🐈" * 20])
@pytest.mark.parametrize("room", [2, 5, 14, 18])
def test_a_name_takes_at_most_its_columns(name, room):
    short = fitted(name, room)
    assert columns(short) <= room and (short == name or (short.endswith("…") and name.startswith(short[:-1])))
    assert short == name or columns(short) >= room - 1


def test_pairs_come_by_their_number_and_right_answers_never():
    counts = torch.tensor([[9, 1, 0], [5, 9, 0], [2, 0, 9]])
    assert most_confused(counts) == [(1, 0, 5), (2, 0, 2), (0, 1, 1)]
    assert most_confused(torch.eye(3, dtype=torch.int64)) == []


@pytest.mark.parametrize("classes", [1, 2, 10, 24, 25, 101, 1000])
def test_any_number_of_classes_is_one_bearable_picture(classes):
    draw = torch.Generator().manual_seed(0)
    counts = torch.randint(0, 9, (classes, classes), generator=draw)
    for drawn in (draw_confusion(counts, [f"{LONG}{k}" for k in range(classes)]),
                  draw_confusion(torch.zeros_like(counts), [str(k) for k in range(classes)])):
        assert drawn.dtype == np.uint8 and drawn.shape[2] == 3 and 400 <= drawn.shape[1] <= 1250
        assert drawn.shape[0] <= 1250


def test_long_names_leave_the_matrix_most_of_the_sheet():
    counts = torch.full((10, 10), 5)
    blue = (draw_confusion(counts, [f"{LONG}{k}" for k in range(10)]).astype(int) @ [-1, 0, 1]) > 10
    assert blue.mean() > 0.4


def test_titles_do_not_reach_their_neighbours():
    """Above each picture some white remains on both sides of its title."""
    pictures = torch.zeros(16, 3, 8, 8, dtype=torch.uint8)
    drawn = draw_mistakes(pictures, ["BACKGROUND_GOOGLE"] * 16, [LONG] * 16)
    width = drawn.shape[1] // 8
    edges = drawn[:, [k * width for k in range(1, 8)]]
    assert drawn.shape[1] == 1000 and (edges == 255).all() and mistaken.TITLE < 20


def test_one_grey_mistake_has_room_for_its_title():
    drawn = draw_mistakes(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), [LONG], [LONG])
    assert drawn.shape[1] >= 150 and (drawn[:, [0, -1]] == 255).all()
