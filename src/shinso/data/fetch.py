"""Published files, brought here once: checked by sha256, moved into place only when whole.

Nothing is fetched at import, and nothing that already lies under the data folder is fetched again. The data folder is
`SHINSO_DATA`, or the platform's cache folder.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from shinso.core.errors import UserError

ATTEMPTS, REDIRECTS, MOST_BYTES = 3, 5, 4 << 30
WAIT = (10, 60)
"""seconds until a connection stands, and between two pieces of data"""


def data_home() -> Path:
    """The folder under which data sets are kept."""
    named = os.environ.get("SHINSO_DATA")
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("shinso"))


def fetch(url: str, target: Path, sha256: str) -> Path:
    """`target`, downloaded from `url` if it is absent; a UserError says which file to put where without a network.

    The download goes to a temporary file beside the target, which is renamed when its sha256 is right; up to three
    attempts; redirections away from https are refused.
    """
    if target.is_file():
        return target
    import pooch
    import requests

    cure = f"download {url} elsewhere and put it there as {target.name}"
    pooch.get_logger().setLevel("ERROR")
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            bring: Any = _download
            pooch.retrieve(url, f"sha256:{sha256}", target.name, target.parent, downloader=bring)
            return target
        except UserError as error:
            raise UserError(target, error.what, cure) from None
        except ValueError:
            reason = "the file is missing, and what was downloaded has the wrong sha256"
        except requests.RequestException as error:
            reason = f"the file is missing and could not be downloaded ({type(error).__name__})"
        except OSError as error:
            own = "set SHINSO_DATA to a folder of your own"
            raise UserError(target, f"it cannot be written ({error.strerror})", own) from None
    raise UserError(target, reason, cure)


def _download(url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
    """Pooch's downloader interface, over https alone."""
    import requests
    from rich.console import Console
    from rich.progress import Progress

    for _ in range(REDIRECTS):
        if urlsplit(url).scheme != "https":
            raise UserError(url, f"the file is missing, and {url} is no https address", "download it elsewhere")
        answer = requests.get(url, stream=True, timeout=WAIT, allow_redirects=False)
        if not answer.is_redirect:
            break
        url = urljoin(url, answer.headers["location"])
    else:
        raise requests.TooManyRedirects(url)
    answer.raise_for_status()
    total = int(answer.headers.get("content-length", 0)) or None
    with open(output_file, "wb") as file, Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(Path(urlsplit(url).path).name, total=total)
        for piece in answer.iter_content(1 << 18):
            bar.advance(task, file.write(piece))
            if file.tell() > MOST_BYTES:
                raise UserError(url, "what was sent is too large to be this file", "download it elsewhere")
