import base64
import json
import logging
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import run

from athanor.errors import NotFoundError, PermissionDeniedError, SettingsError, UnauthenticatedError
from athanor.serving.access import tokens as tokens_module
from athanor.serving.access.tokens import (
    Scope,
    Tokens,
    list_tokens,
    local_token,
    local_token_path,
    make_token,
    revoke_token,
    tokens_path,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tokens_path(tmp_path, "flight_delay")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked at for every request."""
    monkeypatch.setattr(tokens_module, "_LOOK_S", 0.0)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_a_token_lets_its_bearer_do_what_its_scope_says(path: Path) -> None:
    predict, admin = make_token(path, "caller", Scope.PREDICT), make_token(path, "owner", Scope.ADMIN)
    tokens = Tokens(path)
    tokens.require(bearer(predict), Scope.PREDICT)
    tokens.require(bearer(admin), Scope.PREDICT)
    tokens.require(bearer(admin), Scope.ADMIN)
    with pytest.raises(PermissionDeniedError, match="caller has scope predict; this needs scope admin"):
        tokens.require(bearer(predict), Scope.ADMIN)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_the_scheme_is_read_as_http_has_it(path: Path, scheme: str) -> None:
    Tokens(path).require(scheme + make_token(path, "caller", Scope.PREDICT), Scope.PREDICT)


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
def test_whoever_brings_no_token_is_told_how_to_send_one(path: Path, authorization: str | None) -> None:
    make_token(path, "caller", Scope.PREDICT)
    with pytest.raises(UnauthenticatedError, match="authorization: Bearer <token>"):
        Tokens(path).require(authorization, Scope.PREDICT)


def test_a_token_without_its_scheme_or_with_one_letter_changed_is_refused(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for sent in (token, bearer(changed), bearer(token + "A"), bearer(token[:-1]), bearer(token.lower())):
        with pytest.raises(UnauthenticatedError) as refused:
            Tokens(path).require(sent, Scope.PREDICT)
        assert token not in str(refused.value)
        assert sent.removeprefix("Bearer ") not in str(refused.value)


def test_a_hash_of_the_file_is_no_token(path: Path) -> None:
    make_token(path, "caller", Scope.PREDICT)
    (kept,) = list_tokens(path)
    with pytest.raises(UnauthenticatedError, match="not known"):
        Tokens(path).require(bearer(kept.sha256), Scope.PREDICT)


def test_the_file_holds_no_token_and_only_its_owner_can_read_it(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    assert token.removeprefix("athn_") not in path.read_text()
    assert len(base64.urlsafe_b64decode(token.removeprefix("athn_") + "=")) == 32
    for made in path.parent.iterdir():
        assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_several_tokens_are_valid_at_once_so_that_one_can_follow_another(path: Path, at_once: None) -> None:
    old = make_token(path, "2025", Scope.PREDICT)
    tokens = Tokens(path)
    tokens.require(bearer(old), Scope.PREDICT)
    new = make_token(path, "2026", Scope.PREDICT)
    tokens.require(bearer(old), Scope.PREDICT)
    tokens.require(bearer(new), Scope.PREDICT)
    revoke_token(path, "2025")
    tokens.require(bearer(new), Scope.PREDICT)
    with pytest.raises(UnauthenticatedError, match="not known"):
        tokens.require(bearer(old), Scope.PREDICT)


def test_a_revoked_token_is_refused_within_two_seconds_by_who_knew_it(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    tokens = Tokens(path)
    tokens.require(bearer(token), Scope.PREDICT)
    revoke_token(path, "caller")
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            tokens.require(bearer(token), Scope.PREDICT)
        except UnauthenticatedError:
            return
    pytest.fail("the token is still good")


def test_an_expired_token_is_refused_and_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = make_token(path, "caller", Scope.PREDICT, datetime.now(UTC) + timedelta(hours=1))
    tokens = Tokens(path)
    tokens.require(bearer(token), Scope.PREDICT)
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(UnauthenticatedError, match="token caller expired at"):
        tokens.require(bearer(token), Scope.PREDICT)


@pytest.mark.parametrize("expires_at", [datetime.now(UTC) - timedelta(seconds=1), datetime(2999, 1, 1)])  # noqa: DTZ001
def test_a_token_is_not_made_to_expire_in_the_past_or_in_no_time_zone(path: Path, expires_at: datetime) -> None:
    with pytest.raises(SettingsError, match="cannot expire at"):
        make_token(path, "caller", Scope.PREDICT, expires_at)
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "a b", "../x", ".x", "a" * 65, "name\n", "é"])
def test_a_name_that_could_be_misread_is_refused(path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot be named"):
        make_token(path, name, Scope.PREDICT)


def test_a_name_that_is_taken_is_refused(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    with pytest.raises(SettingsError, match="named caller already"):
        make_token(path, "caller", Scope.ADMIN)
    Tokens(path).require(bearer(token), Scope.PREDICT)


def test_nobody_is_revoked_by_a_wrong_name(path: Path) -> None:
    make_token(path, "caller", Scope.PREDICT)
    with pytest.raises(NotFoundError, match="no token is named colour; there are: caller"):
        revoke_token(path, "colour")
    assert len(list_tokens(path)) == 1


def test_none_is_lost_when_many_are_made_at_once(path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda i: make_token(path, f"t{i}", Scope.PREDICT), range(64)))
    tokens = Tokens(path)
    for token in made:
        tokens.require(bearer(token), Scope.PREDICT)
    assert len(set(made)) == 64


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"tokens": [{"name": "x"}]}', b"\xff\xfe"])
def test_a_file_that_is_missing_or_damaged_lets_nobody_in_and_is_loud_once(
    path: Path, content: bytes | None, at_once: None, caplog: pytest.LogCaptureFixture
) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    good = path.read_bytes()
    tokens = Tokens(path)
    tokens.require(bearer(token), Scope.PREDICT)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(UnauthenticatedError, match="cannot read its tokens"):
                tokens.require(bearer(token), Scope.PREDICT)
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    assert "nobody is let in" in record.getMessage()
    path.write_bytes(good)
    tokens.require(bearer(token), Scope.PREDICT)


def test_a_file_with_one_name_twice_is_damaged(path: Path) -> None:
    make_token(path, "caller", Scope.PREDICT)
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({"tokens": content["tokens"] * 2}))
    with pytest.raises(SettingsError, match="several tokens are named caller"):
        list_tokens(path)


def test_what_somebody_pasted_into_the_file_is_not_repeated(path: Path) -> None:
    path.write_text(json.dumps({"tokens": [{"name": "x", "scope": "predict", "sha256": "athn_secret"}]}))
    with pytest.raises(SettingsError, match="sha256") as refused:
        make_token(path, "caller", Scope.PREDICT)
    assert "athn_secret" not in str(refused.value)


def test_the_local_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    token = local_token(tmp_path, "flight_delay")
    assert local_token(tmp_path, "flight_delay") == token
    plain = local_token_path(tmp_path, "flight_delay")
    assert plain.read_text() == token
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600
    Tokens(tokens_path(tmp_path, "flight_delay")).require(bearer(token), Scope.ADMIN)


def test_the_local_token_is_never_readable_by_others_even_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    real = os.open

    def watched(path: str, flags: int, mode: int = 0o777, **others: int) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(tmp_path)):
            modes.append(mode)
        return real(path, flags, mode, **others)

    monkeypatch.setattr(os, "open", watched)
    before = os.umask(0)
    try:
        local_token(tmp_path, "flight_delay")
    finally:
        os.umask(before)
    assert modes
    assert set(modes) == {0o600}


def test_a_local_token_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    token = local_token(tmp_path, "flight_delay")
    local_token_path(tmp_path, "flight_delay").chmod(0o644)
    new = local_token(tmp_path, "flight_delay")
    assert new != token
    tokens = Tokens(tokens_path(tmp_path, "flight_delay"))
    tokens.require(bearer(new), Scope.ADMIN)
    with pytest.raises(UnauthenticatedError):
        tokens.require(bearer(token), Scope.ADMIN)


@pytest.mark.parametrize("lost", ["plain", "hash", "disagree"])
def test_a_local_token_of_which_a_half_is_lost_is_made_anew_and_others_stay(tmp_path: Path, lost: str) -> None:
    path, plain = tokens_path(tmp_path, "flight_delay"), local_token_path(tmp_path, "flight_delay")
    other = make_token(path, "caller", Scope.PREDICT)
    token = local_token(tmp_path, "flight_delay")
    if lost == "plain":
        plain.unlink()
    elif lost == "hash":
        revoke_token(path, "local")
    else:
        plain.write_text("athn_other")
    new = local_token(tmp_path, "flight_delay")
    assert new != token
    tokens = Tokens(path)
    tokens.require(bearer(new), Scope.ADMIN)
    tokens.require(bearer(other), Scope.PREDICT)
    with pytest.raises(UnauthenticatedError):
        tokens.require(bearer(token), Scope.PREDICT)


def test_commands_make_list_and_revoke_tokens(tmp_path: Path) -> None:
    where = ("--home", tmp_path)
    made = run("serving", "token", "create", "flight_delay", "ci", *where, "--scope", "admin", "--days", "30", "--json")
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)["token"]
    listed = run("serving", "token", "list", "flight_delay", *where, "--json")
    (entry,) = json.loads(listed.stdout)
    assert (entry["name"], entry["scope"]) == ("ci", "admin")
    assert token not in listed.stdout
    path = tokens_path(tmp_path / "service", "flight_delay")
    Tokens(path).require(bearer(token), Scope.ADMIN)
    assert run("serving", "token", "revoke", "flight_delay", "ci", *where).returncode == 0
    with pytest.raises(UnauthenticatedError):
        Tokens(path).require(bearer(token), Scope.ADMIN)


def test_the_command_prints_a_token_alone_on_standard_output(tmp_path: Path) -> None:
    made = run("serving", "token", "create", "flight_delay", "ci", "--home", tmp_path)
    path = tokens_path(tmp_path / "service", "flight_delay")
    Tokens(path).require(bearer(made.stdout.strip()), Scope.PREDICT)
    with pytest.raises(PermissionDeniedError):
        Tokens(path).require(bearer(made.stdout.strip()), Scope.ADMIN)


def test_the_command_refuses_a_scope_that_there_is_not(tmp_path: Path) -> None:
    refused = run("serving", "token", "create", "flight_delay", "ci", "--home", tmp_path, "--scope", "root")
    assert refused.returncode == 2
    assert "--scope is 'root'; give predict or admin" in refused.stderr
