import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from athanor.errors import PermissionDeniedError, UnauthenticatedError
from athanor.serving.access import authentication
from athanor.serving.access.authentication import Authenticator
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import list_tokens, make_token, revoke_token, tokens_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tokens_path(tmp_path, "delays")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is looked at for every request."""
    monkeypatch.setattr(authentication, "_FOLLOW_S", 0.0)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_a_token_lets_its_bearer_do_what_its_scope_says(path: Path) -> None:
    predict, admin = make_token(path, "caller", Scope.PREDICT), make_token(path, "owner", Scope.ADMIN)
    authenticator = Authenticator(path)
    authenticator.require(bearer(predict), Scope.PREDICT)
    authenticator.require(bearer(admin), Scope.PREDICT)
    authenticator.require(bearer(admin), Scope.ADMIN)
    with pytest.raises(PermissionDeniedError, match="caller has scope predict; this needs scope admin"):
        authenticator.require(bearer(predict), Scope.ADMIN)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_the_scheme_is_read_in_any_case_as_http_has_it(path: Path, scheme: str) -> None:
    Authenticator(path).require(scheme + make_token(path, "caller", Scope.PREDICT), Scope.PREDICT)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Basic dTpw",
        "athn_",
        "Bearer x",
        "Bearer \udcff\x00",
        "Bearer " + "a" * 100_000,
    ],
)
def test_a_request_without_a_token_is_refused_with_how_to_send_one(path: Path, authorization: str | None) -> None:
    make_token(path, "caller", Scope.PREDICT)
    with pytest.raises(UnauthenticatedError, match="authorization: Bearer <token>"):
        Authenticator(path).require(authorization, Scope.PREDICT)


def test_a_token_without_its_scheme_or_with_one_letter_changed_is_refused(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for sent in (token, bearer(changed), bearer(token + "A"), bearer(token[:-1]), bearer(token.lower())):
        with pytest.raises(UnauthenticatedError) as refused:
            Authenticator(path).require(sent, Scope.PREDICT)
        assert token not in str(refused.value)
        assert sent.removeprefix("Bearer ") not in str(refused.value)


def test_a_hash_out_of_the_file_is_not_a_token(path: Path) -> None:
    make_token(path, "caller", Scope.PREDICT)
    (kept,) = list_tokens(path)
    with pytest.raises(UnauthenticatedError, match="unknown here"):
        Authenticator(path).require(bearer(kept.sha256), Scope.PREDICT)


def test_several_tokens_are_valid_at_once_so_that_one_can_replace_another(path: Path, at_once: None) -> None:
    old = make_token(path, "2025", Scope.PREDICT)
    authenticator = Authenticator(path)
    authenticator.require(bearer(old), Scope.PREDICT)
    new = make_token(path, "2026", Scope.PREDICT)
    authenticator.require(bearer(old), Scope.PREDICT)
    authenticator.require(bearer(new), Scope.PREDICT)
    revoke_token(path, "2025")
    authenticator.require(bearer(new), Scope.PREDICT)
    with pytest.raises(UnauthenticatedError, match="unknown here"):
        authenticator.require(bearer(old), Scope.PREDICT)


def test_a_revoked_token_is_refused_within_two_seconds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    authenticator = Authenticator(path)
    authenticator.require(bearer(token), Scope.PREDICT)
    revoke_token(path, "caller")
    later = time.monotonic() + 2
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(UnauthenticatedError, match="unknown here"):
        authenticator.require(bearer(token), Scope.PREDICT)


def test_an_expired_token_is_refused_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = make_token(path, "caller", Scope.PREDICT, datetime.now(UTC) + timedelta(hours=1))
    authenticator = Authenticator(path)
    authenticator.require(bearer(token), Scope.PREDICT)
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(UnauthenticatedError, match="token caller expired at"):
        authenticator.require(bearer(token), Scope.PREDICT)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"tokens": [{"name": "x"}]}', b"\xff\xfe"])
def test_a_missing_or_damaged_file_lets_no_caller_in_and_is_logged_once(
    path: Path, content: bytes | None, at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    good = path.read_bytes()
    authenticator = Authenticator(path)
    authenticator.require(bearer(token), Scope.PREDICT)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(UnauthenticatedError, match="cannot read its tokens"):
                authenticator.require(bearer(token), Scope.PREDICT)
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert "no caller is let in" in record.getMessage()
    path.write_bytes(good)
    authenticator.require(bearer(token), Scope.PREDICT)
