"""A scripted service and its clients, isolated from the machine's environment."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from client.scripted import QUICK, ScriptedService, serving

from athanor.client.client import Client, connect


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; no token in the environment."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ATHANOR_HOME", str(folder))
    for variable in ("ATHANOR_TOKEN", "ATHANOR_TARGET"):
        monkeypatch.delenv(variable, raising=False)
    return folder


@pytest.fixture
def service() -> ScriptedService:
    return ScriptedService()


@pytest.fixture
def target(service: ScriptedService) -> Iterator[str]:
    with serving(service) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with connect(target, retry=QUICK) as connection:
        yield Client("delays", connection)
