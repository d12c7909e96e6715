"""Asking for help or the version loads no layer and nothing that takes its time: what an app costs before it works."""

from collections.abc import Iterable
from typing import Final

import pytest
from support.commands import run

from athanor.cli import app
from athanor.cli.client import app as client
from athanor.cli.data import app as data
from athanor.cli.serving import app as serving
from athanor.cli.training import app as training

# Of ours, what help needs: no layer is among them.
_OURS: Final = ("cli", "errors", "home", "progress", "projects", "system", "version")
# Their submodules are meant too. Standard ones are here when they bring many others.
_SLOW: Final = (
    *("asyncio", "concurrent", "email", "http", "importlib.metadata", "multiprocessing", "sqlite3", "statistics"),
    *("unittest", "urllib.request", "xml"),
    *("athanor.cli.shared.bars", "rich.live", "rich.progress"),
    *("aiohttp", "cryptography", "deltalake", "fastapi", "fsspec", "google", "grpc", "joblib", "mlflow", "numpy"),
    *("onnx", "onnxruntime", "opentelemetry", "pandas", "pandera", "polars", "prometheus_client", "projects"),
    *("pyarrow", "pydantic", "pydantic_core", "ray", "requests", "scipy", "skl2onnx", "sklearn", "starlette"),
    *("uvicorn", "yaml"),
)
# Typer and Rich alone are 324 and 205 of them.
_MOST: Final = {"--help": 380, "--version": 260}
# By name; imported so that a change of one selects this test.
_APPS: Final = {"app": app, "client": client, "data": data, "serving": serving, "training": training}


def _load(monkeypatch: pytest.MonkeyPatch, app: str, *arguments: str) -> list[str]:
    """What a process imports that runs an app, by Python's own account."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = run(app, *arguments)
    assert done.returncode == 0, done.stderr
    rows = (line.split("|") for line in done.stderr.splitlines() if line.startswith("import time:"))
    return [row[2].strip() for row in rows][1:]


def _breaches(loaded: Iterable[str]) -> list[str]:
    return [name for name in loaded if _is_within(name, _SLOW) or _is_layer(name)]


def _is_within(name: str, modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _is_layer(name: str) -> bool:
    return name.startswith("athanor.") and name.split(".")[1] not in _OURS


@pytest.mark.parametrize("asked", _MOST)
@pytest.mark.parametrize("app", _APPS)
def test_help_and_version_load_nothing_slow(monkeypatch: pytest.MonkeyPatch, app: str, asked: str) -> None:
    loaded = _load(monkeypatch, app, asked)
    assert "athanor.cli.shared.terminal" in loaded
    assert _breaches(loaded) == []
    assert len(loaded) <= _MOST[asked]


@pytest.mark.parametrize("command", ["up", "run"])
def test_the_help_of_what_has_settings_loads_what_declares_them_and_no_more(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    loaded = _load(monkeypatch, "serving", command, "--help")
    assert "athanor.serving.setup.settings" in loaded
    assert not [name for name in loaded if _is_within(name, ("fastapi", "grpc", "numpy", "onnxruntime", "ray"))]
    # The check above can fail: this is what it found when every help did so.
    assert {"athanor.serving.setup.settings", "pydantic", "http.client"} <= set(_breaches(loaded))
    assert len(loaded) > _MOST["--help"]
