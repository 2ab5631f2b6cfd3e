"""`report.html`: a run on one page that needs nothing else - no script, no network, no other file.

Both languages are in the page; two radio buttons choose which one the style sheet shows. Everything that comes from
outside (names, values, labels) passes through `escape`.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from shinso.report.chart import chart
from shinso.report.equations import typeset
from shinso.report.phrases import PHRASES
from shinso.report.series import Panel, panels, split_name
from shinso.report.story import Choice, Claim, Story

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
SIDE_LIMIT = 4000
"""pictures with a longer side are made smaller"""
MOVING = {".gif": "image/gif", ".webp": "image/webp"}
MOST_PANELS = 8
"""curves beyond them are unfolded by a click"""


def page(story: Story) -> str:
    """The whole document."""
    seen = [_curves(story), _pictures(story)]
    if any(_moving(name) for name in story.files):  # what moves comes first
        seen.reverse()
    body = [_hero(story), _results(story), *seen, _equations(story), _claims(story), _setup(story), _tables(story),
            _files(story), _repeat(story)]
    return document(f"{story.card['name']} - {story.run}", story.language, body)


def document(title: str, language: str, body: Iterable[str]) -> str:
    """A page in both languages that opens in one of them; `title` is plain text, the parts of `body` are HTML."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return "\n".join([
        "<!doctype html>", f'<html lang="{escape(language)}">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title>", f"<style>\n{style}</style>", "</head>", "<body>",
        _switch(language), "<main>", *(part for part in body if part), "</main>",
        f'<footer>{both("offline")}</footer>', "</body>", "</html>", "",
    ])  # fmt: skip


def both(key: str, **values: object) -> str:
    """A phrase in both languages."""
    en, ja = (escape(text.format(**values)) for text in PHRASES[key])
    return f'<span lang="en">{en}</span><span lang="ja">{ja}</span>'


def either(en: str, ja: str) -> str:
    """Two texts from a card or its side file, escaped; one of them where the other is missing or the same."""
    if ja in ("", en):
        return escape(en)
    return f'<span lang="en">{escape(en)}</span><span lang="ja">{escape(ja)}</span>'


def number(value: float) -> str:
    """A figure for people: 1,797, 0.9861, 1.2e-07."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}" if abs(value) < 100 else f"{value:,.1f}"


def seconds(value: float) -> str:
    """A duration: 0.21 s, 41 s, 3 min 20 s, 2 h 5 min."""
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _switch(language: str) -> str:
    mark = {code: " checked" if code == language else "" for code in ("en", "ja")}
    return (f'<input type="radio" name="language" id="en"{mark["en"]}><label for="en">English</label>'
            f'<input type="radio" name="language" id="ja"{mark["ja"]}><label for="ja">日本語</label>')


def _section(key: str, *content: str) -> str:
    return f"<section>\n<h2>{both(key)}</h2>\n" + "\n".join(content) + "\n</section>"


def _hero(story: Story) -> str:
    card = story.card
    path = f"{escape(story.system)} <b>{escape(story.variant)}</b>" if story.variant else escape(story.system)
    unfinished = both("unfinished", step=f"{story.steps:,}", total=f"{story.total:,}")
    state = f'<p class="unfinished">{unfinished}</p>' if story.steps < story.total else ""
    return (f'<header><p class="path">{path}</p>\n<h1>{either(card["name"], card["name_ja"])}</h1>\n'
            f'<p class="summary">{either(card["summary"], card["summary_ja"])}</p>\n'
            f'<p class="paper">{escape(card["paper"])}</p>{state}</header>')


def _results(story: Story) -> str:
    order = {"test": 0, "validation": 1, "train": 2}
    names = sorted(story.metrics, key=lambda name: order[split_name(name)[1]])
    shown = names[:1] + [n for n in names[1:] if split_name(n)[1] == split_name(names[0])[1]] if names else []
    shown.sort(key=lambda name: split_name(name)[0] == "loss")
    alone = all(split_name(name)[1] == "train" for name in story.metrics)  # nothing was held out: no need to say so
    tiles = [f'<div class="tile"><b>{_figure(n, story.metrics[n])}</b>{_metric(story, n, alone=alone)}</div>'
             for n in shown]
    tiles.append(f'<div class="tile"><b>{story.steps:,}</b><small>{both("steps")}</small></div>')
    if "total" in story.timing:
        total = seconds(story.timing["total"])
        tiles.append(f'<div class="tile"><b>{total}</b><small>{both("time.total")}</small></div>')
    return _section("results", f'<div class="tiles">{"".join(tiles)}</div>')


def _figure(name: str, value: float) -> str:
    return f"{100 * value:.2f}<i>%</i>" if split_name(name)[0] == "accuracy" and 0 <= value <= 1 else _short(value)


def _short(value: float) -> str:
    """A figure that fits a tile: three digits where it is small."""
    return f"{value:.3g}" if 0 < abs(value) < 1 else number(value)


def _metric(story: Story, key: str, *, alone: bool) -> str:
    name, split = split_name(key)
    return f"<small>{_name(story, name)}</small>" if alone else f"<small>{_name(story, name)} · {both(split)}</small>"


def _name(story: Story, name: str) -> str:
    key = f"metric.{name}"
    if key not in PHRASES and key not in story.words and name.startswith("loss_"):  # of one among several
        return both("metric.loss_of", name=name.removeprefix("loss_").replace("_", " "))
    return _called(story, key)


def _called(story: Story, key: str) -> str:
    """What the system calls a picture or a number, else what all systems call it, else its plain name."""
    if key in story.words:
        return either(*story.words[key])
    return both(key) if key in PHRASES else escape(key.partition(".")[2].replace("_", " "))


def _curves(story: Story) -> str:
    shown = [_panel(story, panel) for panel in panels(story.rows)]
    if not shown:
        return ""
    note = f'<p class="note">{both("curves.note")}</p>'
    first, rest = "".join(shown[:MOST_PANELS]), "".join(shown[MOST_PANELS:])
    more = f'<summary class="note">{both("curves.more", count=len(shown) - MOST_PANELS)}</summary>'
    folded = f'<details>{more}<div class="panels">{rest}</div></details>' if rest else ""
    return _section("curves", f'<div class="panels">{first}</div>', folded, note)


def _panel(story: Story, panel: Panel) -> str:
    legend = "".join(f'<span class="key {c.split}">{both(c.split)}</span>' for c in panel.curves)
    scale = f'<span class="scale">{both("log")}</span>' if panel.log else ""
    return (f'<figure class="panel"><figcaption><b>{_name(story, panel.name)}</b>{scale}'
            f'<span class="legend">{legend}</span></figcaption>{chart(panel)}</figure>')


def _pictures(story: Story) -> str:
    shown = [_animation(story, name, content) for name, content in story.files.items() if _moving(name)]
    shown += [_picture(story, name, image) for name, image in story.pictures.items()]
    return _section("pictures", f'<div class="pictures">{"".join(shown)}</div>') if shown else ""


def _moving(name: str) -> str:
    """The media type of a file that is a moving picture; empty for others."""
    return MOVING.get(Path(name).suffix, "")


def _animation(story: Story, name: str, content: bytes) -> str:
    text = base64.b64encode(content).decode("ascii")
    return (f'<figure><img class="picture whole" alt="{escape(name)}" src="data:{_moving(name)};base64,{text}">'
            f"<figcaption>{_called(story, f'picture.{Path(name).stem}')}</figcaption></figure>")


def _picture(story: Story, name: str, image: np.ndarray) -> str:
    height, width = image.shape[:2]
    long = width >= 800 and (height > width or width >= 1.9 * height)  # a table, or panels side by side
    shape = " pixels" if max(height, width) < 500 else " whole" if long else ""
    return (f'<figure><img class="picture{shape}" alt="{escape(name)}" width="{width}" height="{height}" '
            f'src="data:image/png;base64,{png(image)}">'
            f"<figcaption>{_called(story, f'picture.{name}')}</figcaption></figure>")


def png(image: np.ndarray) -> str:
    """A uint8 picture (height, width, 3) as base64 text."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((SIDE_LIMIT, SIDE_LIMIT))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _equations(story: Story) -> str:
    return _section("equations", *equations(story.card)) if story.card["equations"] else ""


def equations(card: Mapping[str, Any]) -> list[str]:
    """A card's equations, typeset and numbered, and the slips in the literature under them."""
    lines = [f"<li>{typeset(latex)}</li>" for latex in card["equations"]]
    english, japanese = card.get("notes", ()), card.get("notes_ja", ())
    pairs = zip(english, japanese if len(japanese) == len(english) else english, strict=True)
    notes = "".join(f"<li>{either(en, ja)}</li>" for en, ja in pairs)
    extra = [f'<h3>{both("notes")}</h3>', f'<ul class="notes">{notes}</ul>'] if notes else []
    return [f'<ol class="equations">{"".join(lines)}</ol>', *extra]


def _claims(story: Story) -> str:
    if not story.claims:
        return ""
    measured = any(claim.measured for claim in story.claims)
    head = ["claim", "source", *(("measured", "bound") if measured else ())]
    rows = [_claim(claim, measured=measured) for claim in story.claims]
    command = f"<code>shinso check {escape(story.system)}</code>"
    note = f'<p class="note">{both("facts.note")} {command}</p>'
    return _section("facts", table([both(key) for key in head], rows), note)


def _claim(claim: Claim, *, measured: bool) -> list[str]:
    cells = [either(claim.claim, claim.claim_ja), either(claim.source, claim.source_ja)]
    if measured:
        mark = {True: "holds", False: "fails", None: ""}[claim.holds]
        cells += [f'<span class="{mark}">{escape(claim.measured)}</span>', escape(claim.bound)]
    return cells


def _setup(story: Story) -> str:
    rows = [_choice(choice) for choice in story.choices]
    if not rows:
        return ""
    head = [both("field"), both("value"), both("meaning")]
    return _section("setup", table(head, rows), f'<p class="note">{both("setup.note")}</p>')


def _choice(choice: Choice) -> list[str]:
    value = escape(_value(choice.value))
    if choice.value != choice.default:
        value = f'<mark>{value}</mark> <del>{escape(_value(choice.default))}</del>'
    return [f"<code>{escape(choice.name)}</code>", value, either(choice.help, choice.help_ja)]


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value).lower() if isinstance(
        value, (bool, type(None))) else str(value)  # fmt: skip


def _tables(story: Story) -> str:
    times = [[both(f"time.{name}"), number(value) if name == "rate" else seconds(value)]
             for name, value in story.timing.items()]
    places = [[both(f"where.{name}"), escape(text)] for name, text in story.where.items()]
    return (f'<div class="pair">{_section("timing", table([], times))}{_section("place", table([], places))}</div>')


def _files(story: Story) -> str:
    rows = [[f"<code>files/{escape(name)}</code>", both("files.size", size=f"{len(content) / 1000:,.0f}"),
             both(f"file.{name}") if f"file.{name}" in PHRASES else ""] for name, content in story.files.items()]
    return _section("files", table([], rows)) if rows else ""


def _repeat(story: Story) -> str:
    return _section("repeat", f'<h3>{both("repeat.command")}</h3>', f"<pre>{escape(story.command)}</pre>",
                    f'<h3>{both("repeat.python")}</h3>', f"<pre>{escape(story.python)}</pre>")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; it scrolls by itself where the page is narrow."""
    first = f"<thead><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="table"><table>{first}<tbody>{body}</tbody></table></div>'
