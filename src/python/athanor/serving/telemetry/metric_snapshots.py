"""The counts of each replica of this machine, in a file of its own, so that any replica can report for all.

A replica replaces its file as a whole and holds a lock for life. Totals of a dead replica are kept, so that they never
fall; its gauges are forgotten.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from athanor.system.atomic import replace_file
from athanor.system.locks import FileLock, acquire, is_held

Key: TypeAlias = tuple[str, tuple[str, ...]]
"""A metric's name, and the values of its labels."""

_RETIRED: Final = "retired"
_NAME_BYTES: Final = 8


@dataclass(frozen=True)
class Snapshot:
    """The counts at one moment.

    Attributes:
        totals: only ever grow; one number for a counter, the numbers by bucket and then their sum for a histogram.
        gauges: current values.
    """

    totals: Mapping[Key, Sequence[float]] = field(default_factory=dict)
    gauges: Mapping[Key, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        return {
            "totals": [[name, labels, numbers] for (name, labels), numbers in self.totals.items()],
            "gauges": [[name, labels, number] for (name, labels), number in self.gauges.items()],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, list[tuple[str, list[str], object]]]) -> "Snapshot":
        def read(part: str) -> dict[Key, object]:
            return {(name, tuple(labels)): value for name, labels, value in found[part]}

        return cls(read("totals"), read("gauges"))  # type: ignore[arg-type]  # written by `to_json`


def sum_totals(snapshots: Iterable[Snapshot]) -> dict[Key, list[float]]:
    sums: dict[Key, list[float]] = {}
    for snapshot in snapshots:
        for key, numbers in snapshot.totals.items():
            known = sums.get(key)
            sums[key] = [a + b for a, b in zip(known, numbers, strict=True)] if known else list(numbers)
    return sums


class SnapshotFolder:
    """The snapshots of a service's replicas on this machine, of which this process is one until it closes."""

    def __init__(self, folder: Path) -> None:
        """Create the folder, and fold the counts of dead replicas into one file.

        On a full disk, or one that cannot be written, `write` does so later: a replica answers all the same.
        """
        self._folder = folder
        self._name = secrets.token_hex(_NAME_BYTES)
        self._lock: FileLock | None = None
        with suppress(OSError):
            self._join()

    def _join(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            # Within: a lock file that is not locked yet would be taken for a dead process's.
            self._lock = acquire(self._lock_path(self._name))
            # Without room for the sum, the files of the dead stay and count.
            with suppress(OSError):
                self._retire([name for name in self._names() if not is_held(self._lock_path(name))])

    def write(self, snapshot: Snapshot) -> None:
        """Publish the counts of this process. Raises OSError if they cannot be written."""
        if self._lock is None:
            self._join()
        replace_file(self._path(self._name), json.dumps(snapshot.to_json()).encode(), durable=False)

    def read_others(self) -> tuple[list[Snapshot], list[Snapshot]]:
        """The snapshots of the other processes: of live ones, and of dead ones. None if this one could not join."""
        living: list[Snapshot] = []
        gone: list[Snapshot] = []
        if self._lock is None:
            return living, gone
        with self._locked(shared=True):
            retired, folded = self._read_retired()
            gone.append(retired)
            for name in self._names():
                if name in folded or name == self._name:
                    continue
                (living if is_held(self._lock_path(name)) else gone).append(self._read(name))
        return living, gone

    def close(self) -> None:
        """Leave; what was written last stays counted."""
        if self._lock is not None:
            self._lock.release()

    def _retire(self, dead: Sequence[str]) -> None:
        retired, folded = self._read_retired()
        fresh = [name for name in dead if name not in folded]
        if fresh:
            sums = sum_totals([retired, *(self._read(name) for name in fresh)])
            # Their names stand beside the sum: if this process is killed here, the next one does not add them again.
            content = {**Snapshot(sums).to_json(), "folded": sorted({*folded, *fresh})}
            replace_file(self._path(_RETIRED), json.dumps(content).encode(), durable=False)
        for name in dead:
            self._path(name).unlink(missing_ok=True)
            self._lock_path(name).unlink(missing_ok=True)

    def _read_retired(self) -> tuple[Snapshot, frozenset[str]]:
        path = self._path(_RETIRED)
        if not path.exists():
            return Snapshot(), frozenset()
        found = json.loads(path.read_bytes())
        return Snapshot.from_json(found), frozenset(found["folded"])

    def _read(self, name: str) -> Snapshot:
        try:
            return Snapshot.from_json(json.loads(self._path(name).read_bytes()))
        except FileNotFoundError:  # it has written nothing yet
            return Snapshot()

    def _names(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.lock") if path.stem != _RETIRED)

    def _locked(self, *, shared: bool = False) -> FileLock:
        return acquire(self._lock_path(_RETIRED), shared=shared)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _lock_path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"
