"""The files by which a service is found, and the statuses of its replicas."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.serving import FIRST, SECOND, THIRD, Stage

from athanor.errors import NotFoundError, ReleaseError, ServiceError
from athanor.release.traffic import Traffic
from athanor.serving.replica.status import ModelStatus, ReplicaStatus, StatusFolder
from athanor.serving.setup.paths import ServicePaths, ServiceState
from athanor.serving.setup.settings import make_settings
from athanor.system.locks import acquire
from athanor.system.processes import own

_STATE = ServiceState("delays", ("delays",), os.getpid(), grpc="127.0.0.1:9000", http="127.0.0.1:8000", insecure=False)


@pytest.fixture
def place(tmp_path: Path) -> ServicePaths:
    return ServicePaths(tmp_path, "delays")


@contextmanager
def _held(place: ServicePaths) -> Iterator[None]:
    with own(place.lock):
        yield


def _status(pid: int, traffic: Traffic) -> ReplicaStatus:
    return ReplicaStatus(pid=pid, models={"delays": ModelStatus(traffic=traffic, changed_at=datetime.now(UTC))})


def _opened(folder: Path) -> StatusFolder:
    """With the status of this process."""
    statuses = StatusFolder(folder)
    statuses.open()
    return statuses


def _write(folder: Path, status: ReplicaStatus) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{status.pid}.json").write_text(status.model_dump_json())


def test_a_status_names_the_traffic_of_each_model_of_its_replica(stage: Stage, tmp_path: Path) -> None:
    traffic = stage.direct(FIRST, SECOND, 0.25, THIRD)
    folder = StatusFolder(tmp_path / "replicas")
    before = datetime.now(UTC)
    folder.put("delays", traffic)
    folder.put("fares", None, ReleaseError("the release is damaged"))
    assert folder.read() == [], "the replica has not started"
    folder.open()
    (status,) = folder.read()
    assert (status.pid, [*status.models]) == (os.getpid(), ["delays", "fares"])
    found = status.models["delays"]
    assert (found.traffic, found.failure) == (traffic, None)
    assert before <= found.changed_at <= datetime.now(UTC)
    assert (status.models["fares"].traffic, status.models["fares"].failure) == (None, "the release is damaged")
    folder.forget("fares")
    assert [[*status.models] for status in folder.read()] == [["delays"]]


def test_a_status_names_a_failure_to_load_until_it_is_over(stage: Stage, tmp_path: Path) -> None:
    traffic = stage.direct(FIRST)
    folder = _opened(tmp_path / "replicas")
    folder.put("delays", traffic, ReleaseError("the release is damaged"))
    assert [status.models["delays"].failure for status in folder.read()] == ["the release is damaged"]
    folder.put("delays", traffic)
    assert [status.models["delays"].failure for status in folder.read()] == [None]


def test_dead_replicas_are_left_out_whatever_process_has_their_id_by_now(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "replicas"
    dead = _status(os.getppid(), stage.direct(FIRST))
    _write(folder, dead)
    _write(folder, dead.model_copy(update={"pid": 1}))
    living = _opened(folder)
    with acquire(folder / "1.lock"):
        assert [found.pid for found in living.read()] == [1, os.getpid()]
    assert [found.pid for found in living.read()] == [os.getpid()]


def test_why_a_replica_does_not_start_is_known_until_one_starts(tmp_path: Path) -> None:
    folder = StatusFolder(tmp_path / "replicas")
    assert folder.read_start_failure() is None
    folder.write_start_failure(ReleaseError("the release is gone"))
    failure = folder.read_start_failure()
    assert failure is not None
    assert (failure.pid, failure.reason) == (os.getpid(), "the release is gone")
    assert folder.read() == []
    folder.open()
    assert folder.read_start_failure() is None


def test_a_status_that_a_full_disk_does_not_take_is_written_once_there_is_room(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    traffic = stage.direct(FIRST)
    folder = StatusFolder(tmp_path / "replicas")
    with monkeypatch.context() as context:
        context.setattr("athanor.serving.replica.status.replace_file", full)
        with pytest.raises(OSError, match="No space left"):
            folder.open()
        with pytest.raises(OSError, match="No space left"):
            folder.put("delays", traffic)
    folder.write_again()
    assert [status.models["delays"].traffic for status in folder.read()] == [traffic]


def test_why_a_replica_does_not_start_needs_no_room_on_a_disk_that_is_full_by_now(tmp_path: Path) -> None:
    folder = StatusFolder(tmp_path / "replicas")
    folder.clear_start_failure()
    path = tmp_path / "replicas" / "failure"
    before = path.stat()
    for reason in ("no space is left", "é" * 9_000, "no space"):
        folder.write_start_failure(OSError(reason))
        failure = folder.read_start_failure()
        assert failure is not None
        assert failure.reason == reason[:500]
    after = path.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"pid": 1}', b"\xff"])
def test_a_malformed_status_is_left_out(tmp_path: Path, content: bytes) -> None:
    folder = _opened(tmp_path / "replicas")
    (tmp_path / "replicas" / "1.json").write_bytes(content)
    assert [status.pid for status in folder.read()] == [os.getpid()]


def test_a_replica_removes_only_its_own_status(stage: Stage, tmp_path: Path) -> None:
    folder = _opened(tmp_path / "replicas")
    status = _status(os.getppid(), stage.direct(FIRST))
    _write(tmp_path / "replicas", status)
    with acquire(tmp_path / "replicas" / f"{os.getppid()}.lock"):
        folder.remove()
        folder.remove()
        assert [found.pid for found in folder.read()] == [os.getppid()]


def test_an_absent_folder_has_no_statuses(tmp_path: Path) -> None:
    assert StatusFolder(tmp_path / "absent").read() == []


def test_files_of_two_projects_never_meet(tmp_path: Path) -> None:
    names = ("lock", "starting", "state", "log", "settings", "token", "tokens", "replicas", "metrics")
    paths = [getattr(ServicePaths(tmp_path, project), name) for project in ("delays", "weather") for name in names]
    assert len(set(paths)) == len(paths)
    assert {path.parent for path in paths} == {tmp_path}


def test_a_place_is_that_of_the_settings(tmp_path: Path) -> None:
    settings = make_settings(service="delays", models=("delays",), store=tmp_path / "store", folder=tmp_path)
    assert ServicePaths.of(settings) == ServicePaths(tmp_path, "delays")


def test_a_service_runs_as_long_as_its_lock_is_held(place: ServicePaths) -> None:
    assert not place.is_held()
    with _held(place):
        assert place.is_held()
        assert place.is_held()
    assert not place.is_held()


def test_a_service_is_found_when_it_answers(place: ServicePaths) -> None:
    with _held(place):
        assert place.read() is None
        place.state.write_text(json.dumps(asdict(_STATE)))
        assert place.read() == place.find() == _STATE


def test_the_state_of_another_process_than_the_owner_is_not_found(place: ServicePaths) -> None:
    place.state.write_text(json.dumps(asdict(replace(_STATE, pid=os.getppid()))))
    with _held(place):
        assert place.read() is None
        with pytest.raises(ServiceError, match=r"the service delays .* is starting or stopping"):
            place.find()


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"pid": 1}', '{"unknown": 1}'])
def test_a_damaged_state_is_not_found(place: ServicePaths, content: str) -> None:
    place.state.write_text(content)
    with _held(place):
        assert place.read() is None


def test_a_service_that_was_killed_is_not_found(place: ServicePaths) -> None:
    place.state.write_text(json.dumps(asdict(_STATE)))
    assert place.read() is None
    with _held(place):
        pass
    with pytest.raises(NotFoundError, match=f"no service delays runs from {place.folder}"):
        place.find()
