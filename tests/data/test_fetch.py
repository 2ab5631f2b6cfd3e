"""Downloads: once, checked, renamed when whole, never away from https, and a clear message without a network."""

import hashlib

import pytest
import requests

from shinso.core.errors import UserError
from shinso.data.fetch import fetch

CONTENT = b"published bytes" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/files/thing.gz"


class Answer:
    def __init__(self, content=b"", location="", status=200):
        self.content, self.headers, self.status = content, {"location": location}, status
        self.is_redirect = bool(location)

    def raise_for_status(self):
        if self.status >= 400:
            raise requests.HTTPError(f"{self.status}")

    def iter_content(self, size):
        yield from (self.content[i : i + 4096] for i in range(0, len(self.content), 4096))


@pytest.fixture
def server(monkeypatch):
    """Answers in order; what was asked for is written down."""
    asked, answers = [], []

    def get(url, **options):
        asked.append(url)
        assert options["allow_redirects"] is False
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(requests, "get", get)
    return asked, answers


def test_a_file_is_fetched_once(server, tmp_path):
    asked, answers = server
    answers.append(Answer(CONTENT))
    target = tmp_path / "new" / "thing.gz"
    for _ in range(3):
        assert fetch(URL, target, SHA).read_bytes() == CONTENT
    assert asked == [URL]
    assert [p.name for p in target.parent.iterdir()] == ["thing.gz"]


def test_wrong_content_is_tried_three_times_and_leaves_nothing(server, tmp_path):
    asked, answers = server
    answers += [Answer(CONTENT[:-1]), Answer(b"<html>"), Answer(CONTENT + b"x")]
    with pytest.raises(UserError, match="wrong sha256") as caught:
        fetch(URL, tmp_path / "thing.gz", SHA)
    assert len(asked) == 3
    assert URL in caught.value.cure
    assert list(tmp_path.iterdir()) == []


def test_a_passing_fault_is_survived(server, tmp_path):
    _, answers = server
    answers += [requests.ConnectionError("gone"), Answer(status=503), Answer(CONTENT)]
    assert fetch(URL, tmp_path / "thing.gz", SHA).read_bytes() == CONTENT


def test_without_a_network_the_message_says_what_to_put_where(server, tmp_path):
    _, answers = server
    answers += [requests.ConnectionError("gone")] * 3
    target = tmp_path / "thing.gz"
    with pytest.raises(UserError) as caught:
        fetch(URL, target, SHA)
    assert caught.value.where == str(target)
    assert caught.value.cure == f"download {URL} elsewhere and put it there as thing.gz"


@pytest.mark.parametrize("to", ["http://example.org/thing.gz", "file:///etc/hostname", "ftp://example.org/x"])
def test_redirections_away_from_https_are_refused(to, server, tmp_path):
    asked, answers = server
    answers.append(Answer(location=to))
    with pytest.raises(UserError, match="no https address"):
        fetch(URL, tmp_path / "thing.gz", SHA)
    assert asked == [URL]


def test_redirections_within_https_are_followed_but_not_for_ever(server, tmp_path):
    asked, answers = server
    answers += [Answer(location="https://mirror.example.org/a"), Answer(CONTENT)]
    fetch(URL, tmp_path / "thing.gz", SHA)
    assert asked[1] == "https://mirror.example.org/a"
    answers += [Answer(location=URL)] * 15
    with pytest.raises(UserError, match="could not be downloaded"):
        fetch(URL, tmp_path / "other.gz", SHA)


def test_what_is_there_is_used_as_it_is(server, tmp_path):
    (tmp_path / "thing.gz").write_bytes(b"mine")
    assert fetch(URL, tmp_path / "thing.gz", SHA).read_bytes() == b"mine"
    assert server[0] == []
