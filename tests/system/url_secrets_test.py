"""No message shows a password, an access key or a signature that is in a URL."""

from typing import Final
from urllib.parse import quote

import pytest

from athanor.system.url_secrets import is_ambiguous, mask_secrets, mask_url

_PASSWORDS: Final = ("hunter2", *(f"hunt{one}er2" for one in "/@:?#%"), "/hunter2", "hunter2/")
_PIECES: Final = ("hunt", "er2")


@pytest.mark.parametrize("password", [*_PASSWORDS, *(quote(one, safe="") for one in _PASSWORDS)])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:{}@host:5432/x",
        "s3://key:{}@bucket/a.csv",
        "https://{}@host/a.csv",
        "https://me:{}@host/a.csv?sig=er2",
        "zip://*.csv::https://me:{}@host/a.zip",
        "postgresql://me@host/x?password={}",
        "https://host/a.csv?X-Amz-Signature={}&Expires=1",
    ],
)
def test_no_password_is_shown(url: str, password: str) -> None:
    # Without a user it may be a path: `https://host/people@work`.
    if "{}@" in url and ":{}" not in url and {*"/?#"} & {*password}:
        return
    given = url.format(password)
    for text in (mask_url(given), mask_secrets(f"cannot read '{given}': no", given), mask_secrets(f"no {given}")):
        assert not any(piece in text for piece in _PIECES), text
    # As libraries name it alone.
    for form in (password, quote(password, safe="")):
        assert "hunt" not in mask_secrets(f"invalid token: {form!r}", given)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@host:5432/x", "postgresql://***@host:5432/x"),
        ("https://host/a.csv?sig=1", "https://host/a.csv?***"),
        ("https://host/people@work/a.csv", "https://host/people@work/a.csv"),
        ("https://host:8080/a.csv", "https://host:8080/a.csv"),
        ("https://host/2013-0?.csv", "https://host/2013-0?.csv"),
        ("zip://*.csv::s3://bucket/a.zip", "zip://*.csv::s3://bucket/a.zip"),
        ("/data/a@b:c?d=e.csv", "/data/a@b:c?d=e.csv"),
        ("", ""),
    ],
)
def test_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_every_url_in_a_text_is_masked() -> None:
    text = "s3://k:s@b/x, then https://t@h/y?sig=z: no; see https://docs.example"
    assert mask_secrets(text) == "s3://***@b/x, then https://***@h/y?*** no; see https://docs.example"


@pytest.mark.parametrize("character", "/?#@")
@pytest.mark.parametrize(
    "url", ["postgresql://me:{}@host:5432/x", "s3://key:{}@bucket/a.csv", "zip://a::s3://k:{}@b/c"]
)
def test_a_password_that_could_end_early_makes_a_url_ambiguous(url: str, character: str) -> None:
    assert is_ambiguous(url.format(f"hunter{character}2"))
    assert is_ambiguous(url.format(f"12{character}2"))
    assert not is_ambiguous(url.format(quote(f"hunter{character}2", safe="")))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@h1:5432,h2:5432/x",
        "postgresql:///x?host=/tmp",
        "postgresql://me:secret@[::1]:5432/x?options=-c%20a=b@c",
        "sqlite:////tmp/a:b@c.db",
        "file:///tmp/a@b:c",
        "zip://*.csv::simplecache::https://host:8080/a.zip?sig=a:b",
        "https://host/people@work/a.csv",
        "memory://store",
        "/a path/b@c:d",
        "",
    ],
)
def test_other_urls_and_paths_are_not_ambiguous(url: str) -> None:
    assert not is_ambiguous(url)
