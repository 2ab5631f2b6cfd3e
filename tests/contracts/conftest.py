"""The order of the contracts: what is asked of one system is asked in a row, so that its course is followed once."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [k for k, item in enumerate(items) if item.path.parent == HERE]
    ordered = sorted((items[k] for k in places), key=_system)
    for k, item in zip(places, ordered, strict=True):
        items[k] = item


def _system(item: pytest.Item) -> str:
    """The dotted path for which the test stands; empty for those of the house."""
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("path", "")) if callspec else ""
