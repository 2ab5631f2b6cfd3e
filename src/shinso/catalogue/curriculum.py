"""`docs/curriculum.md`: every topic that works, and where; generated from the cards.

`python -m shinso.catalogue.curriculum` writes it. Only what a fact or a test runs stands there.
"""

from pathlib import Path

from shinso.catalogue import index

REPOSITORY = index.ROOT.parent.parent
PAGE = REPOSITORY / "docs" / "curriculum.md"

# Topics that are no card of their own (a tool, an exercise, a page), each with the test that runs it.
ELSEWHERE: dict[str, str] = {}


def page(found: dict[str, index.System], elsewhere: dict[str, str]) -> str:
    """The document: one table per subject, then the topics without a card."""
    claimed = index.topics(found.values())
    subjects: dict[str, list[str]] = {}
    for topic in sorted(claimed):
        subjects.setdefault(topic.partition(".")[0], []).append(topic)
    lines = [
        "# Curriculum", "",
        f"{len(claimed) + len(elsewhere)} topics work here. This page is generated from the cards by "
        "`python -m shinso.catalogue.curriculum`; a topic stands here when a fact or a test of its file runs it.", "",
    ]  # fmt: skip
    for subject, topics in subjects.items():
        lines += [f"## {subject}", "", "| topic | system | claims that run | test |", "|---|---|---|---|"]
        lines += [_row(topic, claimed[topic]) for topic in topics]
        lines.append("")
    if elsewhere:
        lines += ["## Without a card", "", "| topic | test |", "|---|---|"]
        lines += [f"| {topic} | `{target}` |" for topic, target in sorted(elsewhere.items())]
        lines.append("")
    return "\n".join(lines)


def test_file(system: index.System) -> Path:
    """Where the system's test stands, relative to the repository."""
    *folders, name = system.path.split(".")
    return Path("tests", *folders, f"test_{name}.py")


def _row(topic: str, system: index.System) -> str:
    source = f"../src/shinso/{system.path.replace('.', '/')}.py"
    facts = ", ".join(f"`{fact.name}`" for fact in system.facts)
    return f"| {topic} | [{system.path}]({source}) | {facts} | [test](../{test_file(system).as_posix()}) |"


def main() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(index.systems(), ELSEWHERE), encoding="utf-8")


if __name__ == "__main__":
    main()
