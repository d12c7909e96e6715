"""The life of a service as a process, with a small process in place of Ray."""

import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.releases import make_graph
from support.services import command_of
from support.serving import FIRST, SECOND, Stage

from athanor.errors import NotFoundError, ReleaseError, ServiceError, SettingsError, StorageError
from athanor.progress import Unwatched
from athanor.release.files import GRAPH
from athanor.serving.hosting import service
from athanor.serving.hosting.running import run
from athanor.serving.hosting.service import down, read_settings, scale, up
from athanor.serving.replica.status import ModelStatus, ReplicaStatus, StatusFolder
from athanor.serving.setup.paths import ServicePaths, ServiceState
from athanor.serving.setup.ports import find_free_ports
from athanor.serving.setup.settings import ServingSettings, make_settings
from athanor.system.atomic import replace_file
from athanor.system.locks import acquire

# A service outlives the process that started it: Python warns of that.
pytestmark = pytest.mark.filterwarnings(r"ignore:subprocess \d+ is still running:ResourceWarning")


@pytest.fixture
def settings(stage: Stage, tmp_path: Path) -> ServingSettings:
    stage.direct(FIRST)
    return _settings(stage, tmp_path / "service")


def _settings(stage: Stage, folder: Path, **changed: Any) -> ServingSettings:
    first = find_free_ports(2)
    ports = {"http_port": first, "grpc_port": first + 1}
    values = {"store": stage.store.location, "folder": folder, "grace_period_s": 0.0, **ports}
    return make_settings(service="delays", models=("delays",), **{**values, **changed})


def _reap(pid: int) -> None:
    """Otherwise a process that ended would stay, as the tests' own child."""
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.fixture
def place(settings: ServingSettings) -> Iterator[ServicePaths]:
    """The files of a service that is stopped when the test ends."""
    place = ServicePaths.of(settings)
    yield place
    if state := place.read():
        os.kill(state.pid, signal.SIGKILL)
        _reap(state.pid)


@pytest.fixture
def status(stage: Stage, tmp_path: Path) -> Path:
    path = tmp_path / "status.json"
    models = {"delays": ModelStatus(traffic=stage.direct(FIRST), changed_at=datetime.now(UTC))}
    made = ReplicaStatus(pid=4_194_305, models=models)
    path.write_text(made.model_dump_json())
    return path


def test_up_returns_when_the_service_answers_and_down_when_it_is_gone(
    settings: ServingSettings, place: ServicePaths, status: Path
) -> None:
    state = up(settings, command_of(place, status), Unwatched())
    assert place.find() == state
    owner = place.find_owner()
    assert owner is not None
    assert owner.pid == state.pid
    assert read_settings(place) == settings
    assert os.getpgid(state.pid) == state.pid, "it must not die with the terminal it was started from"
    with pytest.raises(SettingsError, match=r"the service delays runs from .* already; stop it by `serve down delays`"):
        up(settings, command_of(place, status), Unwatched())
    down(place, Unwatched())
    assert not place.is_held()
    _reap(state.pid)
    with pytest.raises(NotFoundError, match="no service delays runs"):
        down(place, Unwatched())


def test_a_service_that_ends_before_it_answers_is_reported_with_the_end_of_its_log(
    settings: ServingSettings, place: ServicePaths
) -> None:
    command = [sys.executable, "-c", "import sys; print('x' * 9_000); sys.exit('no room')"]
    with pytest.raises(ServiceError, match=r"(?s)the service did not start; its log .* ends with.*no room") as caught:
        up(settings, command, Unwatched())
    assert len(str(caught.value)) < 3_000
    assert place.read() is None


def test_a_service_that_finds_no_space_is_reported_so_whatever_its_log_has(
    settings: ServingSettings, place: ServicePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "find_storage_fault", lambda paths: f"cannot write to {paths.folder}: it is full")
    with pytest.raises(StorageError, match=rf"did not start: cannot write to {place.folder}: it is full; free some"):
        up(settings, [sys.executable, "-c", ""], Unwatched())


def test_a_service_that_does_not_answer_in_time_is_stopped(
    settings: ServingSettings, place: ServicePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_START_TIMEOUT_S", 0.2)
    with pytest.raises(ServiceError, match="the service did not start"):
        up(settings, _waits(place), Unwatched())
    _assert_is_gone(place)


def test_the_state_of_an_earlier_service_is_not_taken_for_a_new_one(
    settings: ServingSettings, place: ServicePaths
) -> None:
    place.folder.mkdir(parents=True)
    place.state.write_text(
        '{"service": "delays", "models": ["delays"], "pid": 1, "grpc": "a:1", "http": "a:2", "insecure": true}'
    )
    with pytest.raises(ServiceError, match="the service did not start"):
        up(settings, [sys.executable, "-c", ""], Unwatched())


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is no service."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def _write_state(place: ServicePaths, pid: int) -> None:
    place.folder.mkdir(parents=True, exist_ok=True)
    state = ServiceState("delays", ("delays",), pid, grpc="a:1", http="a:2", insecure=True)
    place.state.write_text(json.dumps(asdict(state)))


def test_down_stops_the_service_and_no_other_process_that_a_stale_state_names(
    settings: ServingSettings, place: ServicePaths, status: Path, bystander: "subprocess.Popen[bytes]"
) -> None:
    state = up(settings, command_of(place, status), Unwatched())
    # As a killed service leaves it, while the next one is starting.
    _write_state(place, bystander.pid)
    assert place.read() is None
    with pytest.raises(ServiceError, match="is starting or stopping"):
        place.find()
    down(place, Unwatched())
    _reap(state.pid)
    assert bystander.poll() is None
    assert not place.is_held()


def test_down_signals_no_process_that_has_the_id_of_the_service_by_now(
    settings: ServingSettings, place: ServicePaths, bystander: "subprocess.Popen[bytes]"
) -> None:
    _write_state(place, bystander.pid)
    replace_file(place.settings, settings.model_dump_json().encode())
    with acquire(place.lock):
        # The lock file names a process that has ended. Another process has its ID now.
        place.lock.write_text(f"{bystander.pid}:1")
        with pytest.raises(ServiceError, match="does not name its process"):
            down(place, Unwatched())
    with pytest.raises(NotFoundError, match="no service delays runs"):
        down(place, Unwatched())
    assert bystander.poll() is None


def test_of_two_that_start_a_service_at_once_the_second_is_refused_and_changes_nothing(
    settings: ServingSettings, place: ServicePaths
) -> None:
    replace_file(place.settings, settings.model_dump_json().encode())
    other = settings.model_copy(update={"max_rows": 7})
    with (
        acquire(place.starting),
        pytest.raises(SettingsError, match="another `serve up` is starting"),
    ):
        up(other, ["/absent"], Unwatched())
    assert read_settings(place) == settings
    assert not place.log.exists()


def test_the_service_of_another_process_is_not_taken_for_the_one_that_was_started(
    settings: ServingSettings, place: ServicePaths, status: Path
) -> None:
    # Another process takes the lock, and what `up` has started ends.
    other = shlex.join(command_of(place, status))
    program = f"{other} & while [ ! -e {shlex.quote(str(place.state))} ]; do sleep 0.01; done; sleep 0.2; exit 1"
    with pytest.raises(ServiceError, match="the service did not start"):
        up(settings, ["sh", "-c", program], Unwatched())
    assert place.is_held()


@pytest.mark.parametrize("door", ["http_port", "grpc_port"])
def test_a_port_that_is_taken_is_reported_before_anything_starts(
    settings: ServingSettings, place: ServicePaths, door: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} is taken; choose another by --http-port, --grpc-port"):
            up(settings.model_copy(update={door: port}), ["/absent"], Unwatched())
    assert not place.log.exists()


def test_a_host_of_another_machine_is_reported_before_anything_starts(
    settings: ServingSettings, place: ServicePaths
) -> None:
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1 is not an address of this machine; give one by --host"):
        up(settings.model_copy(update={"host": "192.0.2.1"}), ["/absent"], Unwatched())
    assert not place.log.exists()


def _waits(place: ServicePaths) -> list[str]:
    """A process that writes its number and waits."""
    program = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    return [sys.executable, "-c", program, str(place.folder / "pid")]


def _assert_is_gone(place: ServicePaths) -> None:
    assert place.read() is None
    number = place.folder / "pid"
    if number.exists() and number.read_text():
        with pytest.raises(ProcessLookupError):
            os.kill(int(number.read_text()), 0)


def test_without_a_champion_no_process_is_left(stage: Stage, tmp_path: Path) -> None:
    settings = _settings(stage, tmp_path / "service")
    with pytest.raises(NotFoundError, match="no release of delays takes traffic"):
        up(settings, _waits(ServicePaths.of(settings)), Unwatched())
    _assert_is_gone(ServicePaths.of(settings))


def test_with_a_release_that_was_tampered_with_no_process_is_left(
    settings: ServingSettings, place: ServicePaths, stage: Stage
) -> None:
    stage.path(FIRST, GRAPH).write_bytes(make_graph(SECOND))
    with pytest.raises(ReleaseError, match="is corrupted or was tampered with"):
        up(settings, _waits(place), Unwatched())
    _assert_is_gone(place)


def test_a_service_scales_to_the_replicas_asked_for(
    settings: ServingSettings, place: ServicePaths, status: Path
) -> None:
    up(settings, command_of(place, status), Unwatched())
    for count in (2, 1):
        scale(place, count, Unwatched())
        assert len(StatusFolder(place.replicas).read()) == count
        assert read_settings(place).replicas == count
    down(place, Unwatched())


@pytest.mark.parametrize("count", [0, -1, 65])
def test_a_number_of_replicas_out_of_range_changes_nothing(
    settings: ServingSettings, place: ServicePaths, status: Path, count: int
) -> None:
    up(settings, command_of(place, status), Unwatched())
    with pytest.raises(SettingsError, match=f"cannot scale to {count} replicas; give a number from 1 to 64"):
        scale(place, count, Unwatched())
    assert read_settings(place) == settings
    down(place, Unwatched())


def test_replicas_that_scale_by_themselves_are_not_scaled_by_hand(
    settings: ServingSettings, place: ServicePaths, status: Path
) -> None:
    up(settings.model_copy(update={"max_replicas": 4}), command_of(place, status), Unwatched())
    with pytest.raises(SettingsError, match="scale by themselves; start it without max_replicas"):
        scale(place, 2, Unwatched())
    down(place, Unwatched())


def test_replicas_that_do_not_start_in_time_are_reported(
    settings: ServingSettings, place: ServicePaths, status: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_SCALE_TIMEOUT_S", 0.1)
    up(settings, command_of(place, status), Unwatched())
    with pytest.raises(ServiceError, match=r"\d of 9 replicas after 0\.1 s; see "):
        scale(place, 9, Unwatched())
    down(place, Unwatched())


def test_without_a_service_there_is_nothing_to_scale(place: ServicePaths) -> None:
    with pytest.raises(NotFoundError, match="no service delays runs"):
        scale(place, 2, Unwatched())


def test_a_service_that_does_not_stop_is_reported(
    settings: ServingSettings, place: ServicePaths, status: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = up(settings, command_of(place, status), Unwatched())
    os.kill(state.pid, signal.SIGSTOP)
    monkeypatch.setattr(service, "_STOP_TIMEOUT_S", 0.1)
    with pytest.raises(ServiceError, match=rf"process {state.pid} did not stop within 0\.1 s; see {place.log}"):
        down(place, Unwatched())
    os.kill(state.pid, signal.SIGCONT)
    monkeypatch.undo()
    _reap(state.pid)
    assert not place.is_held()


def test_a_second_service_of_one_name_does_not_run(settings: ServingSettings, place: ServicePaths) -> None:
    place.folder.mkdir(parents=True)
    with place.lock.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SettingsError, match=r"the service delays runs from .* already"):
            run(settings)
    assert not place.state.exists()


def test_damaged_settings_are_refused(place: ServicePaths) -> None:
    place.folder.mkdir(parents=True)
    place.settings.write_text("{")
    with pytest.raises(SettingsError, match=r"settings file .*delays\.settings\.json cannot be read"):
        read_settings(place)
    with pytest.raises(SettingsError):
        read_settings(replace(place, service="weather"))
