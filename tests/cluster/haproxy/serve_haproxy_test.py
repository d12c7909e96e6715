"""How Ray's HAProxy is hardened before it starts: read from the configuration that the installed Ray writes."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from cluster.haproxy.rendering import GRPC_PORT, HTTP_PORT, render
from ray.serve._private import constants

from athanor.cluster.haproxy import rules, serve_haproxy
from athanor.cluster.haproxy.rules import DoorLimits, count_files, fit, make_rules
from athanor.cluster.haproxy.serve_haproxy import Doors, Rules, UnknownConfigurationError, find_doors
from athanor.errors import SettingsError

DOORS = Doors("0.0.0.0", HTTP_PORT, GRPC_PORT)  # noqa: S104 - what is tested
SOCKETS = Path("/s")
# As the program reads them.
RULES = Rules(**json.loads(json.dumps(make_rules(DoorLimits())._asdict())))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return render(tmp_path_factory.mktemp("h"))


@pytest.fixture(scope="module", params=["app", "empty"])
def written(request: pytest.FixtureRequest, rendered: Mapping[str, str]) -> str:
    return rendered[request.param]


def harden(configuration: str, doors: Doors, folder: Path) -> str:
    return serve_haproxy.harden(configuration, doors, folder, RULES)


def binds(configuration: str) -> list[str]:
    return [line.split()[1] for line in configuration.splitlines() if line.strip().startswith("bind ")]


def section(configuration: str, header: str) -> list[str]:
    """The lines of a section, without comments."""
    lines = f"\n{configuration}".split(f"\n{header}\n")[1].splitlines()
    end = next((i for i, line in enumerate(lines) if line and not line.startswith((" ", "#"))), len(lines))
    return [line.strip() for line in lines[:end] if line.strip() and not line.strip().startswith("#")]


def test_only_the_doors_listen_on_the_address_that_was_asked_for(written: str) -> None:
    assert binds(harden(written, DOORS, SOCKETS)) == [
        "unix@/s/prometheus.sock",
        "0.0.0.0:8000",
        "0.0.0.0:9000",
        "unix@/s/stats.sock",
    ]


def test_without_grpc_services_there_is_one_door(rendered: Mapping[str, str]) -> None:
    hardened = harden(rendered["http"], DOORS, SOCKETS)
    assert [address for address in binds(hardened) if not address.startswith("unix@")] == ["0.0.0.0:8000"]


def test_the_grpc_door_keeps_speaking_http_2(written: str) -> None:
    assert "bind 0.0.0.0:9000 proto h2\n" in harden(written, DOORS, SOCKETS)


def test_sockets_of_files_are_for_their_owner_alone(written: str) -> None:
    hardened = harden(written, DOORS, SOCKETS)
    assert "mode 666" not in hardened
    assert hardened.count("mode 600") == 3


def test_the_headers_are_those_that_the_installed_serve_obeys() -> None:
    pattern = re.compile("|".join(rules._OBEYED))
    for name in (
        constants.SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
        constants.SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
        constants.SERVE_MULTIPLEXED_MODEL_ID,
        constants.SERVE_SESSION_ID,
    ):
        assert pattern.fullmatch(name)
        assert name.startswith("x-request-") or pattern.fullmatch(name.replace("_", "-"))
    assert constants.SERVE_HTTP_REQUEST_ID_HEADER == "x-request-id"


def test_what_is_added_comes_before_what_ray_answers(written: str) -> None:
    door = section(harden(written, DOORS, SOCKETS), "frontend http_frontend")
    ours = [line.strip() for line in RULES.sections["http_frontend"]]
    assert door[: len(ours)] == ours
    assert any("if routes" in line for line in door[len(ours) :])


def test_what_cannot_be_answered_is_503_and_no_application_is_named(written: str) -> None:
    hardened = harden(written, DOORS, SOCKETS)
    assert set(re.findall(r"errorfile \d+ (\S+)", hardened)) == {"/dev/null"}
    assert any('"status":503' in line for line in section(hardened, "defaults http from base"))
    assert [line.split()[3] for line in section(hardened, "backend default_backend")] == ["503"]
    if "backend default_grpc_backend" in hardened:
        answers = section(hardened, "backend default_grpc_backend")
        assert "grpc-status 14" in RULES.answers["default_grpc_backend"]
        assert {line for line in answers if "return" in line} == {RULES.answers["default_grpc_backend"].strip()}


def test_each_server_has_a_limit_for_silence(rendered: Mapping[str, str]) -> None:
    servers = re.findall(r"^    server .*$", harden(rendered["app"], DOORS, SOCKETS), re.MULTILINE)
    assert len(servers) == 2
    assert all(server.endswith(" tcp-ut 2s on-marked-down shutdown-sessions") for server in servers)


def test_no_request_waits_in_python_where_no_replica_is_up(rendered: Mapping[str, str]) -> None:
    assert len(re.findall(r" backup$", rendered["app"], re.MULTILINE)) == 2
    assert " backup" not in harden(rendered["app"], DOORS, SOCKETS)


def test_requests_are_logged_neither_away_nor_one_by_one(written: str) -> None:
    hardened = harden(written, DOORS, SOCKETS)
    assert set(re.findall(r"^ *log (\S+)", hardened, re.MULTILINE)) == {"stderr", "global"}
    assert "option dontlog-normal" in section(hardened, "defaults base")
    for door in ("http_frontend", "grpc_frontend"):
        assert [line for line in section(hardened, f"frontend {door}") if re.match("(no )?log ?", line)] == ["no log"]


def test_hardening_twice_is_hardening_once(written: str) -> None:
    once = harden(written, DOORS, SOCKETS)
    assert harden(once, DOORS, SOCKETS) == once


def test_the_doors_are_found_where_ray_alone_knows_them(rendered: Mapping[str, str]) -> None:
    assert find_doors(rendered["app"]) == Doors("127.0.0.1", HTTP_PORT, GRPC_PORT)
    assert find_doors(rendered["http"]) == Doors("127.0.0.1", HTTP_PORT, 0)


def _without(header: str, configuration: str) -> str:
    """A configuration without a section."""
    before, after = f"\n{configuration}".split(f"\n{header}\n")
    return f"{before}\n{re.split(r'^(?=[a-z])', after, maxsplit=1, flags=re.MULTILINE)[1]}"


# What an upgrade may move, and what the refusal says of it.
_MOVED = {
    "another port": ("bind 127.0.0.1:8000", "bind 127.0.0.1:8001", "would listen at .*8001"),
    "a range of ports": ("bind 127.0.0.1:9000 proto h2", "bind :9000-9010 proto h2", "would listen at .*9000-9010"),
    "all ports": ("bind :9101", "bind *", r"would listen at \*"),
    "another door": ("frontend prometheus", "frontend admin", "section admin would listen at port 9101"),
    "a new door": ("listen stats", "frontend debug\n    bind :1\nlisten stats", "section debug would listen at port 1"),
    "a renamed http door": ("frontend http_frontend", "frontend http", "section http would listen"),
    "a renamed grpc door": ("frontend grpc_frontend", "frontend grpc", "section grpc would listen"),
    "a door twice": ("listen stats", "frontend grpc_frontend\nlisten stats", "a section is there twice"),
    "another kind of section": ("listen stats", "peers stats", "sections of unknown kind: peers"),
    "an open socket": (" mode 666", "", "administrator's socket"),
    "an open socket by another option": (" mode 666 level admin", " level admin mode 666", "administrator's socket"),
    "no socket": ("    stats socket", "    stat socket", "administrator's socket"),
    "a second socket": ("    stats timeout", "    stats socket ipv4@:1\n    stats timeout", "administrator's socket"),
    "a log elsewhere": ("    log global\n", "    log 10.0.0.1:514 local0\n", "send its log away"),
}


@pytest.mark.parametrize("name", _MOVED)
def test_what_has_moved_starts_nothing(name: str, written: str) -> None:
    before, after, words = _MOVED[name]
    assert before in written
    with pytest.raises(UnknownConfigurationError, match=words):
        harden(written.replace(before, after), DOORS, SOCKETS)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("global", "section global is missing"),
        ("defaults", "section defaults is missing"),
        ("frontend http_frontend", "section http_frontend is missing"),
        ("backend default_backend", "section default_backend is missing"),
    ],
)
def test_without_a_section_nothing_starts(header: str, words: str, written: str) -> None:
    with pytest.raises(UnknownConfigurationError, match=words):
        harden(_without(header, written), DOORS, SOCKETS)


@pytest.mark.parametrize("host", ["::1", "::"])
def test_a_door_may_have_an_address_of_ipv6(host: str, written: str) -> None:
    doors = Doors(host, HTTP_PORT, GRPC_PORT)
    hardened = harden(written, doors, SOCKETS)
    assert [address for address in binds(hardened) if not address.startswith("unix@")] == [
        f"{host}:8000",
        f"{host}:9000",
    ]
    assert find_doors(hardened) == doors
    assert harden(hardened, doors, SOCKETS) == hardened


@pytest.mark.parametrize(
    ("most_files", "connections"),
    [(1_000_000, 4096), (count_files(DoorLimits()), 4096), (count_files(DoorLimits()) - 1, 4095), (2_688, 64)],
)
def test_a_door_takes_as_many_connections_as_haproxy_may_open_files(most_files: int, connections: int) -> None:
    fitted = fit(DoorLimits(), most_files)
    assert fitted.connections == connections
    assert count_files(fitted) <= most_files


def test_too_few_files_are_named() -> None:
    with pytest.raises(SettingsError, match=r"may open 2687 files.*needs 2688, and 18816 for 4096 connections.*ulimit"):
        fit(DoorLimits(), 2_687)


def test_no_error_of_a_connection_ends_others(rendered: Mapping[str, str]) -> None:
    hardened = harden(rendered["app"], DOORS, SOCKETS)
    assert "observe" not in hardened
    assert hardened.count(" fall 3 ") == 2
