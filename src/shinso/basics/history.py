r"""A history of the field as the course tells it: every entry with the document that says so.

Two of the course's documents have a timeline, 000 (machine learning 5) and 004 (mathematics of machine and deep
learning 2). Each entry here keeps the year that its document prints beside the year of the publication, and where the
two documents tell the same event differently both stand. The first boom is dated

    1956 <= t <= 1974                                                          (1)

by 000; 004 counts booms of neural networks instead, which are others. The surprise: of all the events that both
documents name, one alone has two years, the perceptron, and both are right: the report is of 1957, the article of 1958.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from shinso.core.card import Card, Check, at_most, exactly

FIRST_BOOM = (1956, 1974)


@dataclass(frozen=True)
class Entry:
    """One event."""

    document: Literal["000", "004"]
    year: int | None
    """as the document prints it; None where it names the event without one"""
    event: str
    event_ja: str
    published: int
    """year of the publication or of the event itself"""
    source: str


TIMELINE = (
    Entry("004", 1946, "ENIAC", "ENIAC", 1946, "first shown to the public in February 1946"),
    Entry("000", 1950, "Turing test", "チューリングテスト", 1950, "Turing, Computing machinery and intelligence"),
    Entry("004", 1952, "Checkers that learn", "学習するチェッカー", 1959, "Samuel; first program 1952, article 1959"),
    Entry("000", 1956, "Dartmouth workshop", "ダートマス会議", 1956, "McCarthy, Minsky, Rochester, Shannon"),
    Entry("004", 1957, "Perceptron", "パーセプトロン", 1957, "Rosenblatt, report 85-460-1"),
    Entry("000", 1958, "Perceptron", "パーセプトロン", 1958, "Rosenblatt, Psychological Review 65"),
    Entry("004", 1963, "Linear SVM", "線形SVM", 1963, "Vapnik and Lerner"),
    Entry("004", None, "ELIZA", "ELIZA", 1966, "Weizenbaum, Communications of the ACM 9"),
    Entry("000", 1967, "k-means", "k-means", 1967, "MacQueen; Lloyd's report is of 1957"),
    Entry("000", 1969, "Limits of the perceptron", "パーセプトロンの限界", 1969, "Minsky and Papert"),
    Entry("000", 1972, "Prolog", "Prolog", 1972, "Colmerauer and Roussel"),
    Entry("000", 1986, "Back-propagation", "誤差逆伝播法", 1986, "Rumelhart, Hinton, Williams"),
    Entry("000", 1989, "Q-learning", "Q学習", 1989, "Watkins"),
    Entry("000", 1992, "Kernel SVM", "カーネルSVM", 1992, "Boser, Guyon, Vapnik"),
    Entry("004", 1992, "Kernel SVM", "カーネルSVM", 1992, "Boser, Guyon, Vapnik"),
    Entry("004", 1996, "Lasso", "Lasso", 1996, "Tibshirani"),
    Entry("004", 2003, "Topic model LDA", "トピックモデルLDA", 2003, "Blei, Ng, Jordan"),
    Entry("000", 2006, "Autoencoder", "オートエンコーダー", 2006, "Hinton and Salakhutdinov; in the text: RBM"),
    Entry("004", 2012, "AlexNet", "AlexNet", 2012, "Krizhevsky, Sutskever, Hinton"),
)


def told_by(document: str) -> tuple[Entry, ...]:
    """The entries of one document, in its order."""
    return tuple(entry for entry in TIMELINE if entry.document == document)


def years(event: str) -> dict[str, int | None]:
    """The year that each document prints for an event, by document."""
    return {entry.document: entry.year for entry in TIMELINE if entry.event == event}


def disagreements() -> dict[str, dict[str, int | None]]:
    """Events for which two documents print different years."""
    found = {entry.event: years(entry.event) for entry in TIMELINE}
    return {event: told for event, told in found.items() if len(set(told.values())) > 1}


def in_first_boom(entry: Entry) -> bool:
    """Whether the entry falls into the first boom as 000 dates it."""
    return FIRST_BOOM[0] <= (entry.year or entry.published) <= FIRST_BOOM[1]  # (1)


def table(language: Literal["en", "ja"]) -> str:
    """The timeline as lines of text: year, event, document, publication."""
    return "\n".join(f"{entry.year or '----'}  {entry.event if language == 'en' else entry.event_ja}  "
                     f"[{entry.document}]  {entry.published}: {entry.source}" for entry in TIMELINE)


def every_entry_has_its_document() -> Check:
    """Of the 19 entries all carry the number of one of the two documents: how many do not.

    Source: documents 000 and 004
    """
    return exactly(sum(entry.document not in ("000", "004") for entry in TIMELINE) + abs(len(TIMELINE) - 19), 0)


def they_stand_in_order() -> Check:
    """The entries stand in the order of their years: how many stand before an earlier one.

    Source: a timeline
    """
    shown = [entry.year or entry.published for entry in TIMELINE]
    return exactly(sum(b < a for a, b in pairwise(shown)), 0)


def the_documents_differ_in_one_event() -> Check:
    """Both documents name the perceptron and the kernel SVM; their years differ for the perceptron alone.

    Source: documents 000 (1958) and 004 (1957)
    """
    both = {entry.event for entry in told_by("000")} & {entry.event for entry in told_by("004")}
    right = both == {"Perceptron", "Kernel SVM"} and set(disagreements()) == {"Perceptron"}
    return exactly(len(disagreements()) if right else -1, 1)


def no_year_is_far_from_its_publication() -> Check:
    """The greatest distance between a printed year and the publication is 7 years, Samuel's program and article.

    Source: the publications named in the table
    """
    return at_most(max(abs(entry.year - entry.published) for entry in TIMELINE if entry.year is not None), 7)


CARD = Card(
    name="Timeline",
    name_ja="人工知能の年表",
    paper="Rosenblatt 1957 and 1958; Minsky and Papert 1969; Rumelhart, Hinton, Williams 1986; and others",
    equations=(r"1956 \le t \le 1974",),
    summary="The course's two timelines in one table, every entry with the document that tells it.",
    summary_ja="講義資料にある二つの年表を一つにまとめ、どの項目にも出典の資料番号を添えた。",
    topics=("basics.history-timeline",),
    facts=(
        every_entry_has_its_document,
        they_stand_in_order,
        the_documents_differ_in_one_event,
        no_year_is_far_from_its_publication,
    ),
    notes=("000 dates the perceptron 1958, 004 dates it 1957: the article and the report.",
           "000 dates the first boom of artificial intelligence from 1956 to 1974; 004 counts booms of neural networks "
           "instead. The two countings are not the same and are not merged here.",
           "The autoencoder of 2006 in the timeline of 000 is the RBM of its text: two papers of one year."),
    notes_ja=("パーセプトロンを000は1958年、004は1957年とする。前者は論文、後者は報告書の年。",
              "000は人工知能の第一次ブームを1956年から1974年とし、004はニューラルネットワークのブームを数える。"
              "二つの数え方は異なるので、ここでは混ぜない。",
              "000の年表にある2006年のオートエンコーダーは、本文のRBMのこと。同じ年の二つの論文である。"),
)
