"""Commands take the name of a service, and find the only one that runs without it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from athanor.cli.serving.app import app
from athanor.cli.serving.services import find_service, split_service
from athanor.errors import NotFoundError, SettingsError
from athanor.home import Home
from athanor.serving.setup.paths import ServicePaths
from athanor.system.locks import acquire


class _Services:
    """The files of services in a home; the test process holds the locks of those that run."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running

    def add(self, name: str, *, runs: bool = True) -> None:
        paths = ServicePaths(self._folder, name)
        paths.folder.mkdir(parents=True, exist_ok=True)
        paths.settings.write_text("{}")
        lock = acquire(paths.lock)
        if runs:
            self._running.enter_context(lock)
        else:
            lock.release()


@pytest.fixture
def services(tmp_path: Path) -> Iterator[_Services]:
    with ExitStack() as running:
        yield _Services(Home(tmp_path).service, running)


def _found(home: Path, given: str | None = None) -> str:
    return find_service(given, home).service


def test_a_given_name_is_taken_whatever_runs(tmp_path: Path, services: _Services) -> None:
    services.add("delays")
    assert _found(tmp_path, "front") == "front"
    assert find_service("front", tmp_path).folder == Home(tmp_path).service


def test_without_a_name_it_is_the_only_one_that_runs(tmp_path: Path, services: _Services) -> None:
    assert _found(tmp_path) == "models"
    services.add("delays", runs=False)
    assert _found(tmp_path) == "models"
    services.add("front")
    assert _found(tmp_path) == "front"


def test_one_of_several_must_be_named(tmp_path: Path, services: _Services) -> None:
    for name in ("taxi", "delays.v2"):
        services.add(name)
    with pytest.raises(SettingsError, match=r"several services run from .*: delays\.v2, taxi; name one of them"):
        _found(tmp_path)
    assert _found(tmp_path, "taxi") == "taxi"


@pytest.mark.parametrize("given", ["", "../x", "a b", "x\x1b[2J", "ray"])
def test_what_cannot_be_a_name_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(SettingsError, match="cannot be the name of a service") as refused:
        _found(tmp_path, given)
    assert str(refused.value).isprintable()


def test_the_name_may_be_left_out_before_another_word() -> None:
    assert split_service(["2"], "REPLICAS") == (None, "2")
    assert split_service(["delays", "2"], "REPLICAS") == ("delays", "2")
    with pytest.raises(SettingsError, match=r"'delays 2 3' is too much; give \[SERVICE\] REPLICAS"):
        split_service(["delays", "2", "3"], "REPLICAS")


@pytest.mark.parametrize("command", [("down",), ("scale", "2"), ("status",), ("logs",)])
def test_without_a_service_commands_name_the_default(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*command, "--home", str(tmp_path)])
    assert isinstance(done.exception, NotFoundError)
    assert "service models" in str(done.exception)
    assert not (tmp_path / "service").exists()


@pytest.mark.parametrize("number", ["many", "-1", "1.5"])
def test_a_number_of_replicas_is_one(tmp_path: Path, number: str) -> None:
    done = CliRunner().invoke(app, ["scale", "--home", str(tmp_path), "--", "delays", number])
    assert isinstance(done.exception, SettingsError)
    assert f"cannot scale to {number!r} replicas" in str(done.exception)
