"""Each setting of a service is a flag, an environment variable and a key of the settings file."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner

from athanor.cli.serving.settings import ModelsArgument, NameOption, read_settings, settings_command
from athanor.errors import SettingsError
from athanor.home import Home
from athanor.serving.setup.settings import ENVIRONMENT_PREFIX as PREFIX
from athanor.serving.setup.settings import ServingSettings

_NAMES: Final = [name for name in ServingSettings.model_fields if name not in {"service", "models", "folder"}]
_PATHS: Final = ("store", "require_signature", "prediction_log")
# For each setting a value other than its default.
_OTHER: Final[dict[str, Any]] = {
    "store": "/other/store",
    "host": "0.0.0.0",  # noqa: S104 - nothing binds to it here
    "http_port": 1234,
    "grpc_port": 1235,
    "insecure": True,
    "require_signature": "/other/key.pub",
    "replicas": 2,
    "max_replicas": 9,
    "target_utilisation": 0.5,
    "upscale_delay_s": 1.5,
    "downscale_delay_s": 2.5,
    "max_rows": 17,
    "max_message_bytes": 2_048,
    "max_in_flight": 18,
    "max_in_flight_by_model": {"delays": 64, "taxi.v2": 8},
    "max_deadline_s": 3.5,
    "grace_period_s": 12.5,
    "max_connections": 640,
    "max_connections_per_address": 160,
    "traffic_poll_s": 0.25,
    "trace_ratio": 0.75,
    "access_log_ratio": 0.125,
    "prediction_log": "/other/log",
    "prediction_log_ratio": 0.375,
}


@pytest.fixture(autouse=True)
def _clear_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATHANOR_HOME", "ATHANOR_STORE_URL", *(f"{PREFIX}{name.upper()}" for name in _NAMES)):
        monkeypatch.delenv(name, raising=False)


def _run(home: Path, *flags: str, **environment: str) -> ServingSettings:
    """Settings that a command receives. Raises what the command raises."""
    found: list[ServingSettings] = []
    app = typer.Typer()

    @settings_command(app)
    def serve(projects: ModelsArgument = None, *, name: NameOption = None, **settings: Any) -> None:
        found.append(read_settings(projects, name, Home(home), settings))

    result = CliRunner().invoke(app, flags, env=environment)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return found[0]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _give(name: str, value: Any) -> list[str]:
    return [_flag(name)] if value is True else [_flag(name), _as_text(value)]


def _as_text(value: Any) -> str:
    return ",".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else str(value)


def _shown(settings: ServingSettings, name: str) -> Any:
    value = getattr(settings, name)
    return str(value) if name in _PATHS else value


def _to_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {each}" for name, each in value.items()) + "}"
    return json.dumps(value)


def _file(where: Path, name: str = "settings.toml", /, **values: Any) -> str:
    path = where / name
    lines = (f"{key} = {_to_toml(value)}" for key, value in values.items())
    path.write_text(json.dumps(values) if name.endswith(".json") else "\n".join(lines))
    return str(path)


def test_each_setting_has_another_value_here() -> None:
    assert sorted(_OTHER) == sorted(_NAMES)


@pytest.mark.parametrize("name", _NAMES)
def test_each_setting_is_a_flag(tmp_path: Path, name: str) -> None:
    assert _shown(_run(tmp_path, *_give(name, _OTHER[name])), name) == _OTHER[name]


@pytest.mark.parametrize("name", _NAMES)
def test_each_setting_is_a_variable_of_the_environment(tmp_path: Path, name: str) -> None:
    settings = _run(tmp_path, **{f"{PREFIX}{name.upper()}": _as_text(_OTHER[name])})
    assert _shown(settings, name) == _OTHER[name]


@pytest.mark.parametrize("kind", ["settings.toml", "settings.json"])
@pytest.mark.parametrize("name", _NAMES)
def test_each_setting_is_a_key_of_the_file(tmp_path: Path, name: str, kind: str) -> None:
    path = _file(tmp_path, kind, **{name: _OTHER[name]})
    assert _shown(_run(tmp_path, "--settings", path), name) == _OTHER[name]


@pytest.mark.parametrize("name", _NAMES)
def test_help_describes_each_setting_with_its_default(name: str) -> None:
    field = ServingSettings.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    app = typer.Typer()

    @settings_command(app)
    def serve(**settings: Any) -> None: ...

    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "400", "TERM": "dumb"}).output
    shown_line = next(line for line in shown.splitlines() if re.search(rf"{re.escape(_flag(name))}\b(?!-)", line))
    assert field.description in shown_line
    assert f"{PREFIX}{name.upper()}" in shown_line
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    assert (f"[{default}]" in shown_line) == (default not in (None, False, {}))
    assert "Undefined" not in shown_line


def test_a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default(tmp_path: Path) -> None:
    path = _file(tmp_path, max_rows=2, replicas=2, http_port=2002, trace_ratio=0.2)
    environment = {f"{PREFIX}MAX_ROWS": "3", f"{PREFIX}REPLICAS": "3", f"{PREFIX}HTTP_PORT": "3003"}
    settings = _run(tmp_path, "--settings", path, "--max-rows", "4", "--replicas", "4", **environment)
    assert (settings.max_rows, settings.replicas, settings.http_port) == (4, 4, 3003)
    assert (settings.trace_ratio, settings.grpc_port) == (0.2, 9000)


def test_the_environment_can_name_the_file(tmp_path: Path) -> None:
    assert _run(tmp_path, **{f"{PREFIX}SETTINGS": _file(tmp_path, max_rows=2)}).max_rows == 2


def test_store_and_folder_default_to_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    settings = _run(tmp_path)
    assert (settings.store, settings.folder) == (home.store_url, home.service)
    assert _run(tmp_path, "--settings", _file(tmp_path, folder="/other")).folder == Path("/other")


@pytest.mark.parametrize(
    ("given", "service", "models"),
    [
        ((), "models", ("*",)),
        (("delays",), "delays", ("delays",)),
        (("delays.v2",), "delays.v2", ("delays.v2",)),
        (("delays*",), "models", ("delays*",)),
        (("delays", "taxi"), "models", ("delays", "taxi")),
        (("delays", "taxi", "--name", "front"), "front", ("delays", "taxi")),
        (("--name", "front", "delays"), "front", ("delays",)),
    ],
)
def test_a_service_is_named_as_its_only_project(
    tmp_path: Path, given: tuple[str, ...], service: str, models: tuple[str, ...]
) -> None:
    made = _run(tmp_path, *given)
    assert (made.service, made.models) == (service, models)


def test_the_file_gives_service_and_models_and_the_command_line_wins(tmp_path: Path) -> None:
    flags = ("--settings", _file(tmp_path, service="front", models=["delays", "taxi*"]))
    made = _run(tmp_path, *flags)
    assert (made.service, made.models) == ("front", ("delays", "taxi*"))
    made = _run(tmp_path, *flags, "--name", "back", "rain")
    assert (made.service, made.models) == ("back", ("rain",))
    assert _run(tmp_path, "--settings", _file(tmp_path, models=["delays"])).service == "delays"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--name", "../x"), r"service: cannot be the name of a service; .* \(given: '../x'\)"),
        (("--name", ""), r"service: cannot be the name of a service; .* \(given: ''\)"),
        (("../x",), r"models: '../x' is neither the name of a model nor a pattern such as flight\*"),
        (("delays.json",), r"service: cannot be the name of a service; .* \(given: 'delays.json'\)"),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _run(tmp_path, *flags)


@pytest.mark.parametrize(
    ("key", "remedy"), [("replica", "; did you mean replicas?"), ("maxrows", "; did you mean max_rows?"), ("zzz", "")]
)
def test_an_unknown_key_is_refused_with_a_suggestion(tmp_path: Path, key: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _run(tmp_path, "--settings", _file(tmp_path, **dict[str, Any]({key: 2})))
    assert str(caught.value).startswith(f"{key}: ")
    assert str(caught.value).endswith(f"(given: 2){remedy}")


@pytest.mark.parametrize(
    ("variable", "remedy"),
    [("REPLICA", "; did you mean ATHANOR_SERVE_REPLICAS?"), ("MAXROWS", "; did you mean ATHANOR_SERVE_MAX_ROWS?")],
)
def test_an_unknown_variable_is_refused_with_a_suggestion(tmp_path: Path, variable: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _run(tmp_path, **{f"{PREFIX}{variable}": "2"})
    assert str(caught.value) == f"{PREFIX}{variable} is not a setting{remedy}"


def test_a_variable_unlike_any_setting_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"^{PREFIX}% is not a setting$"):
        _run(tmp_path, **{f"{PREFIX}%": "2"})


def test_other_variables_are_ignored(tmp_path: Path) -> None:
    assert _run(tmp_path, ATHANOR_HOME="/x", ATHANOR_SERVER="1", SERVE_REPLICAS="2").replicas == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--replicas", "many"), "replicas: .*given: 'many'"),
        (("--http-port", "0"), "http_port: .*given: '0'"),
        (("--replicas", "4", "--max-replicas", "2"), "max_replicas 2 is below replicas 4"),
        (("--http-port", "9000"), "http_port and grpc_port are both 9000"),
    ],
)
def test_an_invalid_value_is_refused(tmp_path: Path, flags: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _run(tmp_path, *flags)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.toml", "replicas = "), ("a.toml", "\x00"), ("a.json", "{"), ("a.json", "replicas = 2"), ("a.json", "[1]")],
)
def test_a_file_without_settings_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError, match=r"settings file .*a\.\w+ (cannot be read|holds no table of settings)"):
        _run(tmp_path, "--settings", str(tmp_path / name))
    with pytest.raises(SettingsError, match="absent"):
        _run(tmp_path, "--settings", str(tmp_path / "absent.toml"))
