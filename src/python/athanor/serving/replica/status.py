"""The status of each replica, in a file of its own beside the service's state."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from athanor.release.traffic import Traffic
from athanor.serving.answering.variants import LoadedTraffic
from athanor.serving.setup.paths import node_name, process_name
from athanor.system.atomic import replace_file
from athanor.system.locks import FileLock, acquire, is_held

_LOCK: Final = ".lock"


class ReplicaStatus(BaseModel):
    """One replica.

    Attributes:
        node: name of its node in the cluster; None for a service on one machine.
        traffic: traffic file that it serves.
        failure: why it cannot load a newer traffic file; None if it serves the newest.
        changed_at: time of the last load, or of the last failure to load, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    node: str | None = None
    traffic: Traffic
    failure: str | None = None
    changed_at: datetime


class StatusFolder:
    """The statuses of a service's replicas, on all nodes of a cluster."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: FileLock | None = None

    def write(self, loaded: LoadedTraffic, failure: object = None) -> None:
        """Writes the status of this process."""
        status = ReplicaStatus(
            pid=os.getpid(),
            node=node_name(),
            traffic=loaded.traffic,
            failure=str(failure) if failure is not None else None,
            changed_at=datetime.now(UTC),
        )
        path = self._path(process_name())
        if status.node is not None and self._lock is None:
            # Process numbers of another node say nothing here; a lock says that its holder lives.
            self._lock = acquire(path.with_suffix(_LOCK))
        replace_file(path, status.model_dump_json(indent=2).encode(), durable=False)

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
                if not _lives(status, path):
                    continue
            except (FileNotFoundError, ValidationError, ProcessLookupError, PermissionError):
                # Removed meanwhile, or left by a killed replica, whose process ID may belong to another user by now.
                continue
            yield status

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _lives(status: ReplicaStatus, path: Path) -> bool:
    """Raises ProcessLookupError or PermissionError for a dead replica of this machine."""
    if status.node is None:
        os.kill(status.pid, 0)
        return True
    return is_held(path.with_suffix(_LOCK))
