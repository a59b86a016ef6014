import hashlib
import io
import urllib.request
from email.message import Message
from urllib.error import HTTPError, URLError

import pytest

from lorae.errors import LoraeError
from lorae.system.download import download

URL = "https://example.org/folder/a.bin"


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"content"))


def test_content_of_the_known_hash_is_returned_without_a_word(served, capfd):
    assert download(URL) == b"content"
    assert download(URL, known_hash=f"md5:{hashlib.md5(b'content').hexdigest()}") == b"content"
    assert capfd.readouterr() == ("", "")


def test_content_of_another_hash_is_refused(served):
    with pytest.raises(LoraeError, match=r"^a\.bin is not the expected file: its hash is not sha256:00$"):
        download(URL, known_hash="sha256:00")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError(OSError(113, "No route to host")), "No route to host"),
        (HTTPError(URL, 404, "Not Found", Message(), None), "Not Found"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset\nby peer"), "Connection reset by peer"),
    ],
)
def test_a_failure_is_one_line_with_its_reason(error, reason, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(LoraeError) as caught:
        download(URL)
    assert str(caught.value) == reason
