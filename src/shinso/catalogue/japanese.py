"""The Japanese beside a system: what `vision/lenet.py` says in English, `vision/lenet.ja.toml` says in Japanese.

`[facts]` has the claims, `[sources]` those sources that are sentences, `[fields]` the helps of Setup, each by name.
What a report calls a system's own pictures and recorded numbers stands there in both languages:

    [pictures]
    walk = ["The path with its start", "初期点からの軌跡"]

    [metrics]
    thrown_out = ["thrown out", "飛び出したか"]
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shinso.core.errors import UserError

TABLES, PAIRS = ("facts", "sources", "fields"), ("pictures", "metrics")


def side_file(system: Path) -> Path:
    """Where the Japanese of a system's file stands, if it is there."""
    return system.with_suffix(".ja.toml")


def read(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """The five tables, those that are not written empty, as all are where there is no file."""
    import tomllib  # only who reads Japanese waits for it

    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        written = {}
    except ValueError as error:  # no UTF-8, no TOML
        raise UserError(file, f"this is not TOML: {error}", "mend the file") from None
    for name, table in written.items():
        if name not in TABLES + PAIRS:
            raise UserError(file, f"there is no table [{name}] here", f"write [{'], ['.join(TABLES + PAIRS)}]")
        right, line = (_is_text, 'name = "text"') if name in TABLES else (_is_pair, 'name = ["English", "日本語"]')
        if not isinstance(table, dict) or not all(map(right, table.values())):
            raise UserError(file, f"[{name}] holds more than names and texts", f"write lines like {line}")
    return {name: written.get(name, {}) for name in TABLES + PAIRS}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))
