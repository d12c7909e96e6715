"""Tokens: where they come from, where they may be sent, and that no message shows them."""

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import grpc
import pytest
from client.scripted import IMPATIENT, ScriptedService, bad_request, fail
from support.commands import environment
from support.flights import make_flight

from athanor.client.aio import AsyncClient
from athanor.client.client import Client, connect
from athanor.errors import AthanorError, FieldViolation, InvalidRequestError, SettingsError

_SECRET: Final = "athn_very-secret"  # noqa: S105 - opens nothing


def _sent(target: str, service: ScriptedService, **options: str) -> str | None:
    with connect(target, **options) as connection:  # type: ignore[arg-type]
        Client("delays", connection).predict([make_flight()])
    return service.metadata[-1].get("authorization")


def _leave_token(home: Path, text: str) -> Path:
    path = home / "service" / "delays.token"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_a_given_token_is_sent(target: str, service: ScriptedService) -> None:
    assert _sent(target, service, token=_SECRET) == f"Bearer {_SECRET}"


def test_without_a_given_token_the_one_of_the_environment_is_sent(
    target: str, service: ScriptedService, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    _leave_token(home, "of-the-home")
    monkeypatch.setenv("ATHANOR_TOKEN", "of-the-environment")
    assert _sent(target, service) == "Bearer of-the-environment"
    assert _sent(target, service, token=_SECRET) == f"Bearer {_SECRET}"


def test_without_either_the_one_of_the_home_is_sent(target: str, service: ScriptedService, home: Path) -> None:
    _leave_token(home, "of-the-home\n")
    assert _sent(target, service) == "Bearer of-the-home"


def test_the_home_may_be_given(target: str, service: ScriptedService, tmp_path: Path) -> None:
    _leave_token(tmp_path / "other", "of-another-home")
    with connect(target, home=tmp_path / "other") as connection:
        Client("delays", connection).predict([make_flight()])
    assert service.metadata[-1]["authorization"] == "Bearer of-another-home"


def test_without_any_token_none_is_sent(target: str, service: ScriptedService) -> None:
    assert _sent(target, service) is None


def test_the_asynchronous_client_sends_it_too(target: str, service: ScriptedService) -> None:
    async def ask() -> None:
        async with connect(target, token=_SECRET) as connection:
            await AsyncClient("delays", connection).predict([make_flight()])

    asyncio.run(ask())
    assert service.metadata[-1]["authorization"] == f"Bearer {_SECRET}"


def test_a_token_is_not_sent_over_a_network_in_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "the token would be sent to service.example:9000 in plain text; give grpcs://service.example:9000"
    with pytest.raises(SettingsError, match=message) as caught:
        connect("service.example:9000", token=_SECRET)
    assert _SECRET not in str(caught.value)
    monkeypatch.setenv("ATHANOR_TOKEN", _SECRET)
    with pytest.raises(SettingsError, match=message):
        connect("grpc://service.example:9000")


def test_a_token_is_sent_over_tls_or_where_plain_text_is_allowed() -> None:
    for connection in (
        connect("service.example:9000", token=_SECRET, allow_plaintext=True),
        connect("grpcs://service.example:9000", token=_SECRET),
    ):
        assert connection.find_token("delays") == _SECRET


def test_the_homes_token_is_for_this_machine_only(home: Path) -> None:
    _leave_token(home, _SECRET)
    assert connect("127.0.0.1:9000").find_token("delays") == _SECRET
    assert connect("grpcs://service.example:9000").find_token("delays") is None


@pytest.mark.parametrize("token", ["", "two words", "line\n", "sécret", "x" * 5000])
def test_an_invalid_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(SettingsError, match="token is not a valid token; give visible ASCII") as caught:
        connect("127.0.0.1:1", token=token)
    assert not token or token not in str(caught.value)


@pytest.mark.parametrize("content", [b"two words", b"\xff\xfe", b""])
def test_a_file_without_a_token_is_named(home: Path, content: bytes) -> None:
    _leave_token(home, "").write_bytes(content)
    with connect("127.0.0.1:1") as connection, pytest.raises(SettingsError, match=r"delays\.token"):
        Client("delays", connection)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_named(home: Path) -> None:
    _leave_token(home, _SECRET).chmod(0)
    with connect("127.0.0.1:1") as connection, pytest.raises(SettingsError, match="cannot be read: Permission denied"):
        Client("delays", connection)


def test_no_message_shows_a_token_even_if_the_service_repeats_it(
    target: str, service: ScriptedService, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    violation = FieldViolation("flights[0].carrier", "PATTERN", f"flights[0].carrier {_SECRET} is wrong")
    with connect(target, token=_SECRET, retry=IMPATIENT) as connection:
        client = Client("delays", connection)
        shown = [repr(connection), repr(client), repr(vars(client)["_connection"])]
        for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT):
            service.answer = fail(code, f"token {_SECRET} is refused", bad_request(violation))
            with pytest.raises(AthanorError, match=r"token \[token\] is refused") as caught:
                client.predict([make_flight()])
            shown += [repr(caught.value), repr(getattr(caught.value, "violations", ()))]
        with pytest.raises(InvalidRequestError) as refused:
            client.predict([make_flight()], sticky_key="clé")
        shown.append(repr(refused.value))
    streams = capfd.readouterr()
    assert _SECRET not in "".join([*shown, caplog.text, streams.out, streams.err])


def test_calls_to_this_machine_bypass_a_proxy(target: str) -> None:
    """In its own process, because gRPC reads the environment of the process."""
    code = (
        "import sys\nfrom athanor.client.client import Client, connect\n"
        "with connect(sys.argv[1]) as c: print(Client('delays', c).predict([]).semantic_version)"
    )
    proxy = {
        "http_proxy": "http://127.0.0.1:1",
        "grpc_proxy": "http://127.0.0.1:1",
        "no_proxy": "",
        "no_grpc_proxy": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", code, target],
        env={**environment(), **proxy},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("1.0.0", 0), done.stderr
