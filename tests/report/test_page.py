"""The report: one file, both languages, nothing from outside, nothing unescaped."""

import re
from html.parser import HTMLParser
from string import Formatter

import numpy as np
import pytest

from shinso.report.chart import chart, even_ticks, label, log_ticks
from shinso.report.curves import draw_curves
from shinso.report.equations import typeset
from shinso.report.page import number, page, seconds
from shinso.report.phrases import PHRASES
from shinso.report.series import panels, smooth, split_name
from shinso.report.story import Choice, Claim, Story

EVIL = "<script>alert(1)</script>\"'&"


def told(**changes) -> Story:
    card = {"name": f"N{EVIL}", "name_ja": f"名{EVIL}", "paper": EVIL, "summary": EVIL, "summary_ja": EVIL,
            "equations": ("y = w x", EVIL), "notes": (EVIL,), "notes_ja": (EVIL,)}
    rows = [{"step": n, "loss": 1 / n, EVIL: 2.0} | ({"validation_loss": 2 / n} if n % 10 == 0 else {})
            for n in range(1, 101)]
    story = dict(
        language="en", system=EVIL, variant=EVIL, card=card, run=EVIL, steps=100, total=100, rows=rows,
        metrics={"loss": 0.5, "test_loss": 0.25, "test_accuracy": 0.985, EVIL: 1.0},
        choices=[Choice(EVIL, EVIL, "x", EVIL, f"説明{EVIL}"), Choice("lr", 0.1, 0.1, "step size")],
        timing={"start": 1.0, "steps": 12.0, "total": 13.0, "rate": 8.3}, where={"folder": EVIL}, command=EVIL,
        python=EVIL, claims=[Claim(EVIL, EVIL, EVIL, EVIL, True, f"主張{EVIL}", f"出典{EVIL}")],
        pictures={EVIL: np.zeros((3, 4, 3), np.uint8), "samples": np.zeros((3, 4, 3), np.uint8)},
    )  # fmt: skip
    return Story(**{**story, **changes})


class Reader(HTMLParser):
    """Which elements and attributes a browser would see, and whether every element is closed."""

    VOID = frozenset(("meta", "input", "img", "line", "path"))

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.attributes = set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(html):
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def test_no_name_becomes_markup():
    reader = read(page(told()))
    assert "script" not in reader.tags
    assert "<script" not in page(told())
    assert not [a for a in reader.attributes if a[1].startswith("on")]


def test_the_page_needs_nothing_from_outside():
    html = page(told())
    reader = read(html)
    assert ("meta", "http-equiv", "Content-Security-Policy") in reader.attributes
    outside = [a for a in reader.attributes if a[1] in ("src", "href", "action") and not a[2].startswith("data:")]
    assert outside == [] and "url(" not in html and "@import" not in html and "http://" not in html
    assert not {"link", "iframe", "object", "embed", "form", "base"} & reader.tags


@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_opens_in_the_language_that_was_asked_for(language):
    checked = re.findall(r'id="(en|ja)" checked', page(told(language=language)))
    assert checked == [language]


def test_everything_said_in_one_language_is_said_in_the_other():
    html = page(told())
    assert html.count('<span lang="en">') == html.count('<span lang="ja">') > 30


def test_phrases_have_both_languages_and_equal_placeholders():
    for key, (en, ja) in PHRASES.items():
        names = [sorted({name for _, name, _, _ in Formatter().parse(text) if name}) for text in (en, ja)]
        assert en and ja and names[0] == names[1], key


def test_changed_fields_are_marked_and_others_are_not():
    html = page(told(choices=[Choice("lr", 0.2, 0.1, ""), Choice("seed", 0, 0, "")]))
    assert "<mark>0.2</mark> <del>0.1</del>" in html and html.count("<mark>") == 1


def test_an_unfinished_run_is_called_one():
    assert "40 of 100 steps" in page(told(steps=40)) and "is not finished" not in page(told())


def test_a_run_without_numbers_or_pictures_has_a_page():
    read(page(told(rows=[], metrics={}, pictures={}, claims=[], choices=[])))


def test_what_moves_stands_before_the_curves_and_other_files_are_named():
    files = {f"{EVIL}.gif": b"GIF89a", f"{EVIL}.json": b"x" * 3000}
    html = page(told(files=files))
    assert not {"script"} & read(html).tags
    assert html.index("data:image/gif;base64,R0lGODlh") < html.index('class="panels"')
    assert html.count("<code>files/") == 2 and "3 kB" in html
    assert page(told()).index('class="panels"') < page(told()).index("data:image/png") and "files/" not in page(told())


def test_files_that_many_systems_leave_are_explained():
    html = page(told(files={"layers.json": b"{}", f"{EVIL}.json": b""}))
    read(html)
    assert html.count("and receptive field") == 1 and "受容野" in html


def test_many_curves_are_folded_and_one_of_several_losses_is_called_one():
    rows = [{"step": n, **{f"loss_{k}": 1 / n for k in "abcdefghijkl"}} for n in range(1, 5)]
    html = page(told(rows=rows))
    read(html)
    assert html.index("<details>") > html.index("loss, h") and html.index("<details>") < html.index("loss, i")
    assert "損失 (i)" in html and "4 more" in html and "<details>" not in page(told())


def test_equations_become_outlines_and_unknown_ones_stay_text():
    assert typeset(r"\tfrac12 \|x\|_2^2 \le \mathrm{KL}(q \,\|\, p)").startswith("<svg")
    assert typeset(r"\begin{cases}a<b\end{cases}") == r"<code>\begin{cases}a&lt;b\end{cases}</code>"


def test_panels_join_training_and_validation_and_choose_their_axis():
    rows = [{"step": 1, "b": 1.0, "loss": 100.0}, {"step": 2, "b": 1.5, "loss": 0.1, "validation_loss": 0.2},
            {"step": 3, "loss": float("nan"), "test_loss": 0.2}]
    first, second = panels(rows)
    assert (first.name, first.log, [c.split for c in first.curves]) == ("loss", True, ["train", "validation", "test"])
    assert first.curves[0].steps == (1, 2)
    assert first.steps == second.steps == (1, 3)  # one axis for all
    assert (second.name, second.log) == ("b", False)
    assert not panels([{"step": 1, "moves": 1.0}, {"step": 2, "moves": 90.0}])[0].log  # a counter
    assert split_name("validation_return_mean") == ("return_mean", "validation")


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [-1.0, 1.0], [1e-12, 1e12], [1.0, 1.0 + 1e-12], [1e300, 1.0],
                                    list(np.random.default_rng(0).normal(size=5000))])
def test_any_curve_is_drawn_inside_its_axes(values):
    (panel,) = panels([{"step": n + 1, "loss": float(v)} for n, v in enumerate(values)])
    svg = chart(panel)
    numbers = [float(v) for path in re.findall(r' d="M([^"]*)"', svg) for v in re.split(r"[ L]", path)]
    assert numbers and np.isfinite(numbers).all()
    assert all(0 <= x <= 640 for x in numbers[::2]) and all(0 <= y <= 300 for y in numbers[1::2])
    assert len(svg) < 60_000


def test_ticks_are_round_and_inside():
    assert even_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert log_ticks(0.02, 5) == [0.1, 1.0] or 3 <= len(log_ticks(0.02, 5)) <= 8
    assert [label(v) for v in (0, 0.25, 100, 20_000, 1e-5, 2e6)] == ["0", "0.25", "100", "20k", "1e-05", "2e+06"]


def test_smoothing_keeps_level_and_length():
    assert smooth([2.0] * 500) == [2.0] * 500
    assert smooth([1.0, 5.0, 1.0]) == [1.0, 5.0, 1.0]
    assert len(smooth(list(range(1000)))) == 1000


def test_numbers_are_for_people():
    assert [number(v) for v in (0.98612, 1797.0, 1.2e-7, 123.456, float("nan"))] == [
        "0.9861", "1,797", "1.2e-07", "123.5", "nan"]  # fmt: skip
    assert [seconds(v) for v in (0.214, 41.2, 200, 7500)] == ["0.21 s", "41 s", "3 min 20 s", "2 h 5 min"]


def test_curves_are_a_picture_with_150_dots_per_inch(tmp_path):
    from PIL import Image

    draw_curves(told().rows, "a $name$", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG" and round(picture.info["dpi"][0]) == 150 and picture.width > 1000
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    draw_curves([], "empty", tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000
