"""What each replica of a service tells of itself: a file of its own, beside the service's state."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from athanor.atomic import replace_file
from athanor.release.traffic import Traffic
from athanor.serving.variants import LoadedTraffic


class ReplicaStatus(BaseModel):
    """One replica.

    Attributes:
        traffic: what it answers by.
        failure: why it does not answer by a newer traffic file; None when there is none.
        changed_at: when it last loaded or failed to, in UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    traffic: Traffic
    failure: str | None = None
    changed_at: datetime


class StatusFolder:
    """The statuses of a service's replicas on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, loaded: LoadedTraffic, failure: object = None) -> None:
        """Tells of this process."""
        status = ReplicaStatus(
            pid=os.getpid(),
            traffic=loaded.traffic,
            failure=str(failure) if failure is not None else None,
            changed_at=datetime.now(UTC),
        )
        replace_file(self._path(status.pid), status.model_dump_json(indent=2).encode())

    def remove(self) -> None:
        """Forgets this process."""
        self._path(os.getpid()).unlink(missing_ok=True)

    def read(self) -> list[ReplicaStatus]:
        """Those of all replicas that live, by process number."""
        return sorted(self._read_living(), key=lambda status: status.pid)

    def _read_living(self) -> Iterator[ReplicaStatus]:
        for path in self._folder.glob("*.json"):
            try:
                status = ReplicaStatus.model_validate_json(path.read_bytes())
                os.kill(status.pid, 0)
            except (FileNotFoundError, ValidationError, ProcessLookupError, PermissionError):
                # Gone meanwhile, or killed before it could remove its own; its number may be another user's by now.
                continue
            yield status

    def _path(self, pid: int) -> Path:
        return self._folder / f"{pid}.json"
