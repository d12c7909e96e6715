import base64
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import environment, run
from typer.testing import CliRunner

from athanor.cli.serving.tokens import app
from athanor.errors import NotFoundError, PermissionDeniedError, SettingsError, UnauthenticatedError
from athanor.home import Home, local_token_path
from athanor.serving.access.authentication import Authenticator
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import (
    keep_token,
    list_tokens,
    local_token,
    make_token,
    revoke_token,
    tokens_path,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tokens_path(tmp_path, "delays")


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_a_token_that_could_not_be_shown_is_not_kept(tmp_path: Path) -> None:
    """Its name would be taken, and its value lost."""
    create = [sys.executable, "-P", "-m", "athanor.cli.serving.app", "token", "create", "delays", "ci"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*create, "--home", str(tmp_path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            # As people run it: what is printed waits in a buffer.
            env={**environment(), "PYTHONUNBUFFERED": ""},
            check=False,
        )
    assert done.returncode == 1
    assert "STORAGE_FAILED the standard output or a file: No space left on device" in done.stderr
    assert list_tokens(tokens_path(Home(tmp_path).service, "delays")) == ()


def test_the_file_holds_no_token_and_its_owner_alone_can_read_it(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    assert token.removeprefix("athn_") not in path.read_text()
    assert len(base64.urlsafe_b64decode(token.removeprefix("athn_") + "=")) == 32
    for made in path.parent.iterdir():
        assert stat.S_IMODE(made.stat().st_mode) == 0o600


@pytest.mark.parametrize("expires_at", [datetime.now(UTC) - timedelta(seconds=1), datetime(2999, 1, 1)])  # noqa: DTZ001
def test_an_expiry_in_the_past_or_without_time_zone_is_refused(path: Path, expires_at: datetime) -> None:
    with pytest.raises(SettingsError, match="cannot expire at"):
        make_token(path, "caller", Scope.PREDICT, expires_at)
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "a b", "../x", ".x", "a" * 65, "name\n", "é"])
def test_an_invalid_name_is_refused(path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="is invalid; use up to 64 letters"):
        make_token(path, name, Scope.PREDICT)


def test_a_name_that_is_taken_is_refused(path: Path) -> None:
    token = make_token(path, "caller", Scope.PREDICT)
    with pytest.raises(SettingsError, match="named caller already exists"):
        make_token(path, "caller", Scope.ADMIN)
    Authenticator(path).require(bearer(token), Scope.PREDICT)


def test_a_wrong_name_revokes_no_token(path: Path) -> None:
    make_token(path, "caller", Scope.PREDICT)
    with pytest.raises(NotFoundError, match="no token is named 'colour'; known tokens: caller"):
        revoke_token(path, "colour")
    assert len(list_tokens(path)) == 1


def test_no_token_is_lost_when_many_are_made_at_once(path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda i: make_token(path, f"t{i}", Scope.PREDICT), range(64)))
    authenticator = Authenticator(path)
    for token in made:
        authenticator.require(bearer(token), Scope.PREDICT)
    assert len(set(made)) == 64


def test_a_file_with_one_name_twice_is_damaged(path: Path) -> None:
    make_token(path, "caller", Scope.PREDICT)
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({"tokens": content["tokens"] * 2}))
    with pytest.raises(SettingsError, match="several tokens are named caller"):
        list_tokens(path)


def test_no_error_repeats_what_was_pasted_into_the_file(path: Path) -> None:
    path.write_text(json.dumps({"tokens": [{"name": "x", "scope": "predict", "sha256": "athn_secret"}]}))
    with pytest.raises(SettingsError, match="sha256") as refused:
        make_token(path, "caller", Scope.PREDICT)
    assert "athn_secret" not in str(refused.value)


def test_the_local_token_is_created_once_for_its_owner_alone(tmp_path: Path) -> None:
    token = local_token(tmp_path, "delays")
    assert local_token(tmp_path, "delays") == token
    plain = local_token_path(tmp_path, "delays")
    assert plain.read_text() == token
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600
    Authenticator(tokens_path(tmp_path, "delays")).require(bearer(token), Scope.ADMIN)


def test_the_local_token_is_at_no_moment_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    real = os.open

    def watched(path: str, flags: int, mode: int = 0o777, **others: int) -> int:
        if flags & os.O_CREAT and str(path).startswith(str(tmp_path)):
            modes.append(mode)
        return real(path, flags, mode, **others)

    monkeypatch.setattr(os, "open", watched)
    before = os.umask(0)
    try:
        local_token(tmp_path, "delays")
    finally:
        os.umask(before)
    assert modes
    assert set(modes) == {0o600}


def test_a_local_token_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    token = local_token(tmp_path, "delays")
    local_token_path(tmp_path, "delays").chmod(0o644)
    new = local_token(tmp_path, "delays")
    assert new != token
    authenticator = Authenticator(tokens_path(tmp_path, "delays"))
    authenticator.require(bearer(new), Scope.ADMIN)
    with pytest.raises(UnauthenticatedError):
        authenticator.require(bearer(token), Scope.ADMIN)


@pytest.mark.parametrize("lost", ["plain", "hash", "disagree"])
def test_a_local_token_that_lost_one_of_its_files_is_replaced_and_others_stay(tmp_path: Path, lost: str) -> None:
    path, plain = tokens_path(tmp_path, "delays"), local_token_path(tmp_path, "delays")
    other = make_token(path, "caller", Scope.PREDICT)
    token = local_token(tmp_path, "delays")
    if lost == "plain":
        plain.unlink()
    elif lost == "hash":
        revoke_token(path, "local")
    else:
        plain.write_text("athn_other")
    new = local_token(tmp_path, "delays")
    assert new != token
    authenticator = Authenticator(path)
    authenticator.require(bearer(new), Scope.ADMIN)
    authenticator.require(bearer(other), Scope.PREDICT)
    with pytest.raises(UnauthenticatedError):
        authenticator.require(bearer(token), Scope.PREDICT)


def test_commands_make_list_and_revoke_tokens(tmp_path: Path) -> None:
    where = ("--home", tmp_path)
    made = run("serving", "token", "create", "delays", "ci", *where, "--scope", "admin", "--days", "30", "--json")
    assert made.returncode == 0, made.stderr
    token = json.loads(made.stdout)["token"]
    listed = run("serving", "token", "list", "delays", *where, "--json")
    (entry,) = json.loads(listed.stdout)
    assert (entry["name"], entry["scope"]) == ("ci", "admin")
    assert token not in listed.stdout
    path = tokens_path(tmp_path / "service", "delays")
    Authenticator(path).require(bearer(token), Scope.ADMIN)
    assert run("serving", "token", "revoke", "delays", "ci", *where).returncode == 0
    with pytest.raises(UnauthenticatedError):
        Authenticator(path).require(bearer(token), Scope.ADMIN)


def test_the_command_prints_a_token_alone_on_standard_output(tmp_path: Path) -> None:
    made = run("serving", "token", "create", "delays", "ci", "--home", tmp_path)
    path = tokens_path(tmp_path / "service", "delays")
    Authenticator(path).require(bearer(made.stdout.strip()), Scope.PREDICT)
    with pytest.raises(PermissionDeniedError):
        Authenticator(path).require(bearer(made.stdout.strip()), Scope.ADMIN)


def test_the_command_refuses_an_unknown_scope(tmp_path: Path) -> None:
    refused = run("serving", "token", "create", "delays", "ci", "--home", tmp_path, "--scope", "root")
    assert refused.returncode == 2
    assert "--scope is 'root'; give one of predict, metrics, admin" in refused.stderr


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
@pytest.mark.parametrize("service", ["delays.json", "../../x", "delays/../x", "delays\x1b[2J", ""])
def test_a_name_that_no_service_would_have_is_refused(tmp_path: Path, command: str, service: str) -> None:
    name = () if command == "list" else ("ci",)
    home = tmp_path / "a" / "b" / "home"
    done = CliRunner().invoke(app, [command, service, *name, "--home", str(home)])
    assert isinstance(done.exception, SettingsError)
    assert f"{service!r} cannot be the name of a service" in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["local", "a b", "x\x1b[31m", "../x", "\u202e", "", "a" * 65])
def test_a_name_that_could_deceive_is_refused(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(app, ["create", "delays", name, "--home", str(tmp_path)])
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception).isprintable()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("days", ["1e12", "nan", "inf", "0"])
def test_an_expiry_beyond_the_calendar_is_refused(tmp_path: Path, days: str) -> None:
    done = CliRunner().invoke(app, ["create", "delays", "ci", "--days", days, "--home", str(tmp_path)])
    assert done.exit_code != 0
    assert not isinstance(done.exception, OverflowError | ValueError)
    assert not list(tmp_path.iterdir())


def test_a_token_is_kept_in_a_file_and_made_once(tmp_path: Path) -> None:
    path, plain = tokens_path(tmp_path / "service", "delays"), tmp_path / "shared" / "prometheus"
    create = ["create", "delays", "prometheus", "--scope", "metrics", "--file", str(plain), "--home", str(tmp_path)]
    for _ in range(2):
        done = CliRunner().invoke(app, create)
        assert done.exit_code == 0, done.exception
        assert done.stdout == ""
    (token,) = list_tokens(path)
    assert (token.name, token.scope, stat.S_IMODE(plain.stat().st_mode)) == ("prometheus", Scope.METRICS, 0o600)
    Authenticator(path).require(bearer(plain.read_text()), Scope.METRICS)
    for scope in (Scope.PREDICT, Scope.ADMIN):
        with pytest.raises(PermissionDeniedError):
            Authenticator(path).require(bearer(plain.read_text()), scope)


def test_a_kept_token_takes_no_name_from_one_of_another_scope(tmp_path: Path) -> None:
    path = tokens_path(tmp_path, "delays")
    make_token(path, "prometheus", Scope.PREDICT)
    with pytest.raises(SettingsError, match="token prometheus has scope predict and is for all models; revoke it"):
        keep_token(path, "prometheus", Scope.METRICS, tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
