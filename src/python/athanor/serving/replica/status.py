"""The status of each replica, in a file of its own beside the service's state."""

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from athanor.release.traffic import Traffic
from athanor.serving.setup.paths import node_name, process_name
from athanor.system.atomic import replace_file
from athanor.system.locks import FileLock, acquire, is_held

_LOCK: Final = ".lock"
# Of the last replica that did not start: not one of `*.json`. It has its size from the start and is written in place:
# the disk may be full, which is why the replica does not start.
_FAILURE: Final = "failure"
_FAILURE_BYTES: Final = 4_096
_MOST_REASON: Final = 500


class ModelStatus(BaseModel):
    """One model of a replica.

    Attributes:
        traffic: traffic file that it answers by; None if it does not answer.
        failure: why it cannot load a newer traffic file; None if it answers by the newest.
        changed_at: time of the last load, or of the last failure to load, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    traffic: Traffic | None = None
    failure: str | None = None
    changed_at: datetime


class ReplicaStatus(BaseModel):
    """One replica.

    Attributes:
        node: name of its node in the cluster; None for a service on one machine.
        models: by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    node: str | None = None
    models: dict[str, ModelStatus]


class StartFailure(BaseModel):
    """Why the last replica that was started did not start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    node: str | None = None
    reason: str
    at: datetime


class StatusFolder:
    """The statuses of a service's replicas, on all nodes of a cluster.

    Each replica holds a lock for life beside its status: another process may have the ID of a dead replica by now, and
    the IDs of another node say nothing here.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: FileLock | None = None
        self._writing = threading.Lock()
        self._models: dict[str, ModelStatus] = {}
        self._is_open = self._is_unwritten = False

    def open(self) -> None:
        """Writes the status of this process, which has started. Raises OSError as `put`."""
        self._is_open = self._is_unwritten = True
        self.write_again()

    def put(self, model: str, traffic: Traffic | None, failure: object = None) -> None:
        """Changes the status of one model, on any thread.

        Raises:
            OSError: it cannot be written; `write_again` may succeed later.
        """
        shown = str(failure) if failure is not None else None
        status = ModelStatus(traffic=traffic, failure=shown, changed_at=datetime.now(UTC))
        self._change({**self._models, model: status})

    def forget(self, model: str) -> None:
        """Leaves a model out from now on. Raises OSError as `put`."""
        self._change({name: status for name, status in self._models.items() if name != model})

    def _change(self, models: dict[str, ModelStatus]) -> None:
        self._models, self._is_unwritten = models, True
        self.write_again()

    def write_again(self) -> None:
        """Writes the status of this process, unless it is written, or the process has not started."""
        with self._writing:
            if not (self._is_open and self._is_unwritten):
                return
            path = self._path(process_name())
            if self._lock is None:
                self._lock = acquire(path.with_suffix(_LOCK))
                self.clear_start_failure()
            status = ReplicaStatus(pid=os.getpid(), node=node_name(), models=dict(sorted(self._models.items())))
            replace_file(path, status.model_dump_json(indent=2).encode(), durable=False)
            self._is_unwritten = False

    def clear_start_failure(self) -> None:
        """Says that the last replica has started, and keeps room for saying that one does not."""
        self._write_in_place("")

    def write_start_failure(self, reason: object) -> None:
        """Writes why this process does not become a replica."""
        shown = str(reason)[:_MOST_REASON]
        failure = StartFailure(pid=os.getpid(), node=node_name(), reason=shown, at=datetime.now(UTC))
        self._write_in_place(failure.model_dump_json())

    def _write_in_place(self, text: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / _FAILURE
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(text.encode().ljust(_FAILURE_BYTES))

    def read_start_failure(self) -> StartFailure | None:
        """Why the last replica did not start; None if one has started since."""
        try:
            return StartFailure.model_validate_json((self._folder / _FAILURE).read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def remove(self) -> None:
        """Removes the status of this process. A second call does nothing."""
        path = self._path(process_name())
        path.unlink(missing_ok=True)
        if self._lock is not None:
            path.with_suffix(_LOCK).unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def read(self) -> list[ReplicaStatus]:
        """The statuses of all live replicas, by node and process ID."""
        return sorted(self._read_living(), key=lambda status: (status.node or "", status.pid))

    def _read_living(self) -> Iterator[ReplicaStatus]:
        for path in self._folder.glob("*.json"):
            try:
                status = ReplicaStatus.model_validate_json(path.read_bytes())
            except (FileNotFoundError, ValidationError):
                # Removed meanwhile, or damaged.
                continue
            if is_held(path.with_suffix(_LOCK)):
                yield status

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
