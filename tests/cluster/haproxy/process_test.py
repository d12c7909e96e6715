"""Ray's real HAProxy with the hardened configuration, started as Serve starts it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster.haproxy.haproxies import ask, call, running_haproxy
from cluster.haproxy.rendering import render
from support.processes import wait_until

from athanor.cluster.haproxy import serve_haproxy
from athanor.cluster.haproxy.rules import DoorLimits, make_rules
from athanor.cluster.haproxy.serve_haproxy import Doors
from athanor.system.processes import ProcessId


@pytest.fixture(scope="module")
def doors() -> Iterator[Mapping[str, Doors]]:
    """The doors of one HAProxy with an application whose replica is gone, and of one without an application."""
    with tempfile.TemporaryDirectory(dir="/tmp") as kept, ExitStack() as stack:
        rendered = render(Path(kept))
        yield {
            name: stack.enter_context(running_haproxy(Path(kept), name, rendered[name], DoorLimits()))
            for name in ("app", "empty")
        }


@pytest.mark.parametrize(("name", "status"), [("app", 503), ("empty", 200)])
def test_it_tells_strangers_whether_it_is_alive_and_no_more(doors: Mapping[str, Doors], name: str, status: int) -> None:
    assert wait_until(lambda: ask(doors[name], "/-/healthz")[0] == status, 60)
    for path in ("/-/routes", "/-/ROUTES", "/%2D/routes", "/%2d/%72outes", "/-/"):
        found, answer = ask(doors[name], path)
        assert found == 404
        assert "secret_name" not in answer


@pytest.mark.parametrize("name", ["app", "empty"])
@pytest.mark.parametrize("path", ["/app", "/anything"])
def test_without_a_replica_it_answers_503_which_clients_retry(doors: Mapping[str, Doors], name: str, path: str) -> None:
    status, answer = ask(doors[name], path)
    assert status == 503
    assert "application/problem+json" in answer
    assert '"code":"UNAVAILABLE"' in answer


@pytest.mark.parametrize("name", ["app", "empty"])
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("/delays.v1.DelaysService/Predict", "UNAVAILABLE"),
        ("/ray.serve.RayServeAPIService/ListApplications", "UNIMPLEMENTED"),
    ],
)
def test_grpc_answers_the_same_by_its_own_codes(doors: Mapping[str, Doors], name: str, method: str, code: str) -> None:
    found, message = call(doors[name], method)
    assert found == code
    assert "secret_name" not in message


@pytest.mark.parametrize("host", ["::1", "::"])
def test_its_doors_may_have_addresses_of_ipv6(tmp_path: Path, host: str) -> None:
    configuration = render(tmp_path)["empty"]
    with running_haproxy(tmp_path, "six", configuration, DoorLimits(), host) as doors:
        assert ask(doors, "/-/healthz")[0] == 200
        assert call(doors, "/delays.v1.DelaysService/Predict")[0] == "UNAVAILABLE"


def _start(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-IS", serve_haproxy.__file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_does_not_start_for_a_service_that_has_ended() -> None:
    ended = subprocess.Popen(["sleep", "60"])
    found = ProcessId.find(ended.pid)
    ended.kill()
    # It has ended, and is not reaped yet.
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    result = _start(found, "/bin/true", "rules.json", "127.0.0.1", 1, 2)
    ended.wait()
    assert (result.returncode, result.stderr.strip()) == (1, "the service has ended")


def test_it_does_not_start_for_another_process_that_has_the_id_by_now() -> None:
    here = ProcessId.here()
    for earlier in (f"{here.pid}:{here.started - 1}", f"{2**22 + 1}:1"):
        result = _start(earlier, "/bin/true", "rules.json", "127.0.0.1", 1, 2)
        assert (result.returncode, result.stderr.strip()) == (1, "the service has ended")


def test_it_does_not_start_with_a_configuration_that_it_does_not_know(tmp_path: Path) -> None:
    path, rules = tmp_path / "haproxy.cfg", tmp_path / "rules.json"
    rules.write_text(json.dumps(make_rules(DoorLimits())._asdict()))
    path.write_text("global\ndefaults\nfrontend renamed\n    bind :1\n")
    result = _start(ProcessId.here(), "/bin/true", rules, "127.0.0.1", 1, 2, "-f", path)
    assert result.returncode == 1
    assert result.stderr.startswith("HAProxy is not started: section renamed would listen at port 1")
    assert str(path) in result.stderr
    assert "renamed" in path.read_text(), "what Ray wrote stays, to be read"
