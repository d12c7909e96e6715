"""What a dataset is compared with: another version, a slice of time, or a profile that travelled with a release."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from athanor.contract.contract import Contract
from athanor.data.dataset import CommittedColumns
from athanor.data.profile import MOST_KNOTS, Profile, profile_column
from athanor.data.snapshot import Snapshot, find_snapshot, read_column
from athanor.errors import DataError, NotFoundError
from athanor.progress import Progress

_BETWEEN = ".."


@dataclass(frozen=True)
class Slice:
    """Rows of a snapshot with an event time from `since`, inclusive, to `until`, exclusive; None for no bound.

    Fulfils `CommittedColumns`, in no promised order.
    """

    contract: Contract
    folder: Path
    snapshot: Snapshot
    since: np.datetime64 | None = None
    until: np.datetime64 | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        bounds = (("from", self.since), ("before", self.until))
        limits = [f"{word} {moment.astype('M8[m]')}" for word, moment in bounds if moment is not None]
        return " ".join([f"version {self.snapshot.version}", *limits])

    @property
    def rows(self) -> int:
        return len(self.column(self.contract.event_time.name))

    def column(self, name: str) -> NDArray[Any]:
        return read_column(self.contract, self.folder, self.snapshot, name, self.since, self.until)


def profile_committed(
    contract: Contract, committed: CommittedColumns, progress: Progress, most_knots: int | None = MOST_KNOTS
) -> Profile:
    """Profiles one column after the other, so that a dataset may be larger than memory."""
    columns = {}
    with progress.step("Profile", len(contract.dataset_columns)) as advance:
        for column in contract.dataset_columns:
            columns[column.name] = profile_column(column, committed.column(column.name), most_knots)
            advance(column.name)
    return Profile(next(iter(columns.values())).rows, columns)


def read_reference(contract: Contract, folder: Path, against: str, progress: Progress) -> tuple[str, Profile]:
    """A profile to compare with, and what people call it.

    Args:
        folder: of all datasets.
        against: a version of the dataset ("3"); a slice of time of the latest ("2013-09-01..2013-10-01", either end may
            be left out); or the path of a release's reference profile.

    Raises:
        DataError: it is none of these, or the file is no profile.
        NotFoundError: there is no such version or file.
    """
    if against.isdecimal():
        chosen = Slice(contract, folder, find_snapshot(contract.name, folder, int(against)))
        return chosen.name, profile_committed(contract, chosen, progress, most_knots=None)
    if _BETWEEN in against and "/" not in against:
        since, until = (parse_moment(part) if part else None for part in against.split(_BETWEEN, 1))
        chosen = Slice(contract, folder, find_snapshot(contract.name, folder), since, until)
        return chosen.name, profile_committed(contract, chosen, progress, most_knots=None)
    path = Path(against)
    if not path.is_file():
        raise NotFoundError(
            f"there is nothing to compare with at {against!r}; give a version, a slice of time such as "
            "2013-09-01..2013-10-01, or the path of a reference profile"
        )
    return path.name, Profile.from_json(path.read_bytes())


def parse_moment(text: str) -> np.datetime64:
    """An instant in UTC out of ISO 8601, "2013-09-01" or "2013-09-01T12:30".

    Raises:
        DataError: it is none.
    """
    try:
        moment = np.datetime64(text.removesuffix("Z"), "us")
    except ValueError:
        raise DataError(f"{text!r} is no instant; write it as 2013-09-01 or 2013-09-01T12:30, in UTC") from None
    if np.isnat(moment):
        raise DataError("an instant is empty; write it as 2013-09-01 or 2013-09-01T12:30, in UTC")
    return moment
