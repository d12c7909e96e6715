"""A client on this machine finds the token of the service that it calls, whatever that is named."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from athanor.client.client import connect
from athanor.home import local_token_path, service_lock_path, service_state_path
from athanor.system.locks import acquire


class _Home:
    """A home with the files of services; the test process holds the locks of those that run."""

    def __init__(self, path: Path, running: ExitStack) -> None:
        self._path = path
        self._running = running
        self.folder = path / "service"
        self.folder.mkdir()

    def add(self, name: str, models: tuple[str, ...], port: int, *, runs: bool = True, cluster: str = "") -> None:
        local_token_path(self.folder, name).write_text(f"of-{name}")
        state = {"service": name, "models": models, "pid": 1, "grpc": f"127.0.0.1:{port}", "cluster": cluster or None}
        service_state_path(self.folder, name).write_text(json.dumps(state))
        lock = acquire(service_lock_path(self.folder, name))
        if runs:
            self._running.enter_context(lock)
        else:
            lock.release()

    def find_token(self, model: str, port: int) -> str | None:
        return connect(f"127.0.0.1:{port}", home=self._path).find_token(model)


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Home]:
    monkeypatch.delenv("ATHANOR_TOKEN", raising=False)
    with ExitStack() as running:
        yield _Home(tmp_path, running)


def test_the_token_is_of_the_service_at_the_address(services: _Home) -> None:
    """Two of one home may serve the same model."""
    services.add("delays", ("delays",), 9000)
    services.add("models", ("*",), 9001)
    assert services.find_token("delays", 9000) == "of-delays"
    assert services.find_token("delays", 9001) == "of-models"


def test_behind_a_proxy_it_is_of_the_service_named_as_the_model_else_of_one_that_serves_it(services: _Home) -> None:
    services.add("models", ("d*", "taxi"), 9001)
    services.add("others", ("rain",), 9002)
    assert services.find_token("delays", 8443) == "of-models"
    assert services.find_token("snow", 8443) is None
    services.add("delays", ("delays",), 9000)
    assert services.find_token("delays", 8443) == "of-delays"


def test_a_service_that_was_killed_is_not_taken_for_one_that_runs(services: _Home) -> None:
    services.add("delays", ("delays",), 9000, runs=False)
    services.add("models", ("*",), 9000)
    assert services.find_token("delays", 9000) == "of-models"


def test_a_service_on_a_cluster_runs_without_a_process_here(services: _Home) -> None:
    services.add("models", ("*",), 9000, runs=False)
    assert services.find_token("delays", 9000) is None
    services.add("models", ("*",), 9000, runs=False, cluster="10.0.0.1:6379")
    assert services.find_token("delays", 9000) == "of-models"


def test_without_a_service_that_runs_it_is_of_the_one_named_as_the_model(services: _Home) -> None:
    services.add("delays", ("delays",), 9000, runs=False)
    assert services.find_token("delays", 9000) == "of-delays"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"service": "x", "models": 1, "grpc": "", "cluster": "a"}'])
def test_a_state_that_cannot_be_read_is_passed_over(services: _Home, content: str) -> None:
    services.add("delays", ("delays",), 9000)
    service_state_path(services.folder, "another").write_text(content)
    assert services.find_token("delays", 9000) == "of-delays"
