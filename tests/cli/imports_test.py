"""Help and version load no layer and no slow library."""

from collections.abc import Iterable
from typing import Final

import pytest
from support.commands import run

from athanor.cli import app
from athanor.cli.client import app as client
from athanor.cli.data import app as data
from athanor.cli.serving import app as serving
from athanor.cli.training import app as training

# Our modules that help needs; none is a layer.
_OURS: Final = ("cli", "errors", "home", "progress", "projects", "system", "version")
# With their submodules. Standard modules are listed if they import many others.
_SLOW: Final = (
    *("asyncio", "concurrent", "email", "http", "importlib.metadata", "multiprocessing", "sqlite3", "statistics"),
    *("unittest", "urllib.request", "xml"),
    *("athanor.cli.shared.bars", "rich.live", "rich.progress"),
    *("aiohttp", "cryptography", "deltalake", "fastapi", "fsspec", "google", "grpc", "joblib", "lightgbm", "mlflow"),
    *("numpy", "onnx", "onnxruntime", "opentelemetry", "pandas", "pandera", "polars", "prometheus_client"),
    *("projects", "pyarrow", "pydantic", "pydantic_core", "ray", "requests", "scipy", "skl2onnx", "sklearn"),
    *("starlette", "uvicorn", "yaml"),
)
# Typer and Rich alone account for 324 and 205.
_MOST: Final = {"--help": 388, "--version": 270}
# Imported so that a change of an app selects this test.
_APPS: Final = {"app": app, "client": client, "data": data, "serving": serving, "training": training}


def _load(monkeypatch: pytest.MonkeyPatch, app: str, *arguments: str) -> list[str]:
    """Modules that Python reports as imported by a process that runs an app."""
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
def test_help_of_a_command_with_settings_loads_only_their_declaration(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    loaded = _load(monkeypatch, "serving", command, "--help")
    assert "athanor.serving.setup.settings" in loaded
    assert not [name for name in loaded if _is_within(name, ("fastapi", "grpc", "numpy", "onnxruntime", "ray"))]
    # The check above can fail: these were found when every help loaded the settings.
    assert {"athanor.serving.setup.settings", "pydantic", "http.client"} <= set(_breaches(loaded))
    assert len(loaded) > _MOST["--help"]
