"""MLflow's pages: they answer over HTTP, and stop without survivors."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, Final

import pytest
from support.commands import environment
from support.processes import find_descendants, list_processes, nothing_survives, wait_until
from support.registries import MODEL, Workspace
from support.traps import set_traps

from athanor.errors import SettingsError
from athanor.registry.care.doctor import examine
from athanor.registry.settings import RegistrySettings
from athanor.registry.tracking.server import serve
from athanor.release.files import MODEL_CARD, Release

_START_S: Final = 120.0
_END_S: Final = 60.0


@dataclass(frozen=True)
class _Pages:
    """The pages, to a caller with a token."""

    port: int
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


@contextmanager
def _running(workspace: Workspace, port: int, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-P", "-m", "athanor.cli.app", "registry", "ui"]
    options = ["--home", str(workspace.path), "--port", str(port)]
    working = set_traps(workspace.path / "working")
    traps = {*working.iterdir()}
    variables = {**environment(), **variables}
    with (
        nothing_survives(),
        subprocess.Popen([*command, *options], env=variables, cwd=working, stdout=subprocess.PIPE) as server,
    ):
        try:
            yield server
        finally:
            if server.poll() is None:
                server.terminate()
                server.wait(_END_S)
    # Nothing there was imported, and nothing was written.
    assert {*working.iterdir()} == traps


def _get(pages: _Pages, path: str) -> bytes:
    url = f"http://127.0.0.1:{pages.port}/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, headers=pages.headers), timeout=60) as answer:
        return bytes(answer.read())


def _answers(port: int) -> bool:
    try:
        return _get(_Pages(port), "health") == b"OK"
    except OSError:
        return False


def _ask(pages: _Pages, path: str) -> Any:
    return json.loads(_get(pages, f"api/2.0/mlflow/{path}"))


@pytest.fixture
def port() -> int:
    """One that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_it_shows_what_is_registered_and_stops_without_survivors(
    workspace: Workspace, port: int, releases: list[Release], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{workspace.path}/hunter2 #%20.db"
    monkeypatch.setenv("ATHANOR_REGISTRY_URL", url)
    registry = workspace.open()
    version, _ = registry.register(releases[0])
    registry.promote(MODEL, "1.0.0", "to see")
    with _running(workspace, port, ATHANOR_REGISTRY_URL=url) as server:
        assert wait_until(lambda: _answers(port), _START_S)
        pages = _read_url(server, port)
        assert b"<title>MLflow</title>" in _get(pages, "")
        model = _ask(pages, f"registered-models/get?name={MODEL}")["registered_model"]
        assert model["aliases"] == [{"alias": "champion", "version": "1"}]
        run = _ask(pages, f"runs/get?run_id={version.run}")["run"]
        assert run["info"]["run_name"] == f"passed: {releases[0].digest[:12]}"
        _refuses_strangers(pages)
        _refuses_to_write(pages, version.run)
        _answers_in_the_classic_mode(pages)
        card = _get(pages, f"get-artifact?run_uuid={version.run}&path={MODEL_CARD}")
        assert card == releases[0].files[MODEL_CARD]
        started = find_descendants(server.pid)
        assert any("tracking.pages" in process.command for process in started)
        # It may hold a password, and everybody can read command lines.
        assert not any(secret in process.command for process in started for secret in ("hunter2", pages.token))
        server.send_signal(signal.SIGTERM)
        assert server.wait(_END_S) == 0
        # Right now: it has said so by returning.
        assert not started & set(list_processes())
    assert examine(registry, workspace.home.candidates) == []


def _read_url(server: "subprocess.Popen[bytes]", port: int) -> _Pages:
    """What the command prints first."""
    assert server.stdout is not None
    found = re.fullmatch(rf"http://127\.0\.0\.1:{port}/\?token=(\S{{43}})\n", server.stdout.readline().decode())
    assert found
    return _Pages(port, found[1])


def _refuses_strangers(pages: _Pages) -> None:
    for token in ("", "wrong", pages.token[:-1]):
        for path in ("", "graphql", f"api/2.0/mlflow/registered-models/get?name={MODEL}", "static-files/x"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                _get(_Pages(pages.port, token), path)


_MUTATIONS: Final[tuple[tuple[str, str, Any], ...]] = (
    ("DELETE", "api/2.0/mlflow/model-versions/delete", {"name": MODEL, "version": "1"}),
    ("DELETE", "ajax-api/2.0/mlflow/registered-models/delete", {"name": MODEL}),
    ("POST", "ajax-api/2.0/mlflow/registered-models/set-tag", {"name": MODEL, "key": "a", "value": "b"}),
    ("POST", "ajax-api/2.0/mlflow/registered-models/alias", {"name": MODEL, "alias": "shadow", "version": "1"}),
    ("DELETE", f"api/2.0/mlflow/registered-models/alias?name={MODEL}&alias=champion", {}),
    ("PATCH", "api/2.0/mlflow/model-versions/update", {"name": MODEL, "version": "1", "description": "x"}),
    ("POST", "ajax-api/2.0/mlflow/experiments/create", {"name": "another"}),
    ("POST", "ajax-api/2.0/mlflow/runs/delete", {"run_id": "RUN"}),
    ("POST", "api/2.0/mlflow/runs/log-metric", {"run_id": "RUN", "key": "roc_auc", "value": 1, "timestamp": 0}),
    ("POST", "ajax-api/2.0/mlflow/upload-artifact?run_uuid=RUN&path=x", {}),
    ("PUT", "api/2.0/mlflow-artifacts/artifacts/x", {}),
    ("POST", "ajax-api/3.0/mlflow/traces", {}),
    ("POST", "ajax-api/3.0/mlflow/ui-telemetry", {"records": []}),
    ("POST", "ajax-api/3.0/mlflow/assistant/message", {}),
    ("POST", "v1/traces", {}),
    ("POST", "api/2.0/mlflow/runs/search/../delete", {"run_id": "RUN"}),
    ("POST", "graphql", {"query": 'mutation { testMutation(inputString: "x") { output } }'}),
    ("GET", "graphql", {"query": "query A { __typename } mutation B { testMutation { output } }"}),
    ("POST", "graphql", [{"query": "query A { __typename }"}]),
    ("POST", "graphql/", {"query": "subscription { x }"}),
    ("GET", "ajax-api/2.0/mlflow/gateway-proxy?gateway_path=x", {}),
    ("GET", "ajax-api/3.0/mlflow/assistant/config", {}),
    ("TRACE", "", {}),
)


def _send(pages: _Pages, method: str, path: str, value: Any) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", pages.port, timeout=60)
    with closing(connection):
        connection.request(method, f"/{path}", json.dumps(value), {"content-type": "application/json", **pages.headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def _refuses_to_write(pages: _Pages, run: str) -> None:
    for method, path, value in _MUTATIONS:
        status, answer = _send(
            pages, method, path.replace("RUN", run), json.loads(json.dumps(value).replace("RUN", run))
        )
        assert (status, answer["error_code"]) == (403, "PERMISSION_DENIED"), (method, path, answer)
    experiment = _ask(pages, f"experiments/get-by-name?experiment_name={MODEL}")["experiment"]["experiment_id"]
    status, found = _send(pages, "POST", "ajax-api/2.0/mlflow/runs/search", {"experiment_ids": [experiment]})
    assert (status, run in {one["info"]["run_id"] for one in found["runs"]}) == (200, True)
    query = f'{{ mlflowGetRun(input: {{runId: "{run}"}}) {{ run {{ info {{ runName }} }} }} }}'
    status, found = _send(pages, "POST", "graphql", {"query": query})
    assert (status, found["errors"]) == (200, None)
    assert found["data"]["mlflowGetRun"]["run"]["info"]["runName"].startswith("passed: ")


def _answers_in_the_classic_mode(pages: _Pages) -> None:
    assert b"""setItem("mlflow.workflowType_v1", '"machine_learning"')""" in _get(pages, "")
    assert json.loads(_get(pages, "ajax-api/3.0/mlflow/ui-telemetry"))["disable_ui_telemetry"] is True


def _find_mlflow(server: "subprocess.Popen[bytes]") -> list[int]:
    return [found.pid for found in find_descendants(server.pid) if "tracking.pages" in found.command]


def test_ctrl_c_ends_it_before_it_answers_too(workspace: Workspace, port: int) -> None:
    with _running(workspace, port) as server:
        assert wait_until(lambda: bool(_find_mlflow(server)), _START_S)
        server.send_signal(signal.SIGINT)
        assert server.wait(_END_S) == 0


def test_a_server_that_exits_on_its_own_is_an_error(workspace: Workspace, port: int) -> None:
    with _running(workspace, port) as server:
        assert wait_until(lambda: bool(_find_mlflow(server)), _START_S)
        os.kill(_find_mlflow(server)[0], signal.SIGKILL)
        assert server.wait(_END_S) == 1


def test_a_port_that_is_taken_is_an_error(workspace: Workspace) -> None:
    settings = RegistrySettings.find(workspace.home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}: .* choose another --port"):
            serve(settings, "127.0.0.1", port, "token")
