"""The Japanese beside a system: what `vision/lenet.py` says in English, `vision/lenet.ja.toml` says in Japanese.

`[facts]` has the claims, `[sources]` those sources that are sentences, `[fields]` the helps of Setup, each by name.
"""

from collections.abc import Mapping
from pathlib import Path

from shinso.core.errors import UserError

TABLES = ("facts", "sources", "fields")


def side_file(system: Path) -> Path:
    """Where the Japanese of a system's file stands, if it is there."""
    return system.with_suffix(".ja.toml")


def read(file: Path) -> Mapping[str, Mapping[str, str]]:
    """The three tables, those that are not written empty, as all are where there is no file."""
    import tomllib  # only who reads Japanese waits for it

    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        written = {}
    except ValueError as error:  # no UTF-8, no TOML
        raise UserError(file, f"this is not TOML: {error}", "mend the file") from None
    for name, table in written.items():
        if name not in TABLES:
            raise UserError(file, f"there is no table [{name}] here", f"write [{'], ['.join(TABLES)}]")
        if not isinstance(table, dict) or not all(isinstance(text, str) for text in table.values()):
            raise UserError(file, f"[{name}] holds more than names and texts", 'write lines like name = "text"')
    return {name: written.get(name, {}) for name in TABLES}
