"""Cards as a page to read: each with its equations typeset, the slips that are not copied, and what it checks.

Like the report it is one file with both languages, without a script, a network or another file.
"""

from collections.abc import Sequence
from html import escape

from shinso.report.page import both, document, either, equations, table
from shinso.report.story import Chapter


def book(title: str, chapters: Sequence[Chapter], language: str) -> str:
    """A page of cards, with a table of contents where there are several; it opens in `language`, `en` or `ja`."""
    contents = [_contents(title, chapters)] if len(chapters) > 1 else []
    return document(title, language, [*contents, *map(_article, chapters)])


def _contents(title: str, chapters: Sequence[Chapter]) -> str:
    lines = [f'<li><a href="#{escape(one.path)}">{either(one.card["name"], one.card["name_ja"])}</a>'
             f"<small>{escape(one.path)}</small></li>" for one in chapters]
    return (f'<header><p class="path">shinso</p>\n<h1>{escape(title)}</h1></header>\n<section>\n'
            f'<h2>{both("contents")}</h2>\n<ul class="contents">{"".join(lines)}</ul>\n</section>')


def _article(one: Chapter) -> str:
    card = one.card
    facts = [[either(fact.claim, fact.claim_ja), either(fact.source, fact.source_ja)] for fact in one.claims]
    return "\n".join([
        f'<article id="{escape(one.path)}">', f'<header><p class="path">{escape(one.path)}</p>',
        f'<h1>{either(card["name"], card["name_ja"])}</h1>',
        f'<p class="summary">{either(card["summary"], card["summary_ja"])}</p>',
        f'<p class="paper">{escape(card["paper"])}</p></header>',
        "<section>", *equations(card), "</section>",
        f'<section>\n<h2>{both("facts")}</h2>', table([both("claim"), both("source")], facts), "</section>",
        f'<section>\n<h2>{both("run.it")}</h2><pre>{escape(chr(10).join(one.commands))}</pre></section>', "</article>",
    ])  # fmt: skip
