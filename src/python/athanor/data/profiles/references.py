"""References to compare a dataset with: another version, a time slice, or the profile in a release."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from athanor.contract.contract import Contract
from athanor.data.dataset import CommittedColumns
from athanor.data.profiles.profile import Profile, profile_column
from athanor.data.snapshots.snapshot import Snapshot, find_snapshot, read_column
from athanor.errors import DataError, NotFoundError
from athanor.progress import Progress

_MOST_KNOTS: Final = 20_000
_SLICE: Final = re.compile(r"(?:(?P<version>\d+):)?(?P<since>[^/]*?)\.\.(?P<until>[^/]*)")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?Z?")


@dataclass(frozen=True)
class TimeSlice:
    """Rows of a snapshot with event times from `since`, inclusive, to `until`, exclusive; None for no bound.

    Implements `CommittedColumns`, in an undefined order.
    """

    contract: Contract
    folder: Path
    snapshot: Snapshot
    since: np.datetime64 | None = None
    until: np.datetime64 | None = None

    @property
    def name(self) -> str:
        """The display name."""
        bounds = (("from", self.since), ("before", self.until))
        limits = [f"{word} {moment.astype('M8[m]')}" for word, moment in bounds if moment is not None]
        return " ".join([f"version {self.snapshot.version}", *limits])

    @property
    def rows(self) -> int:
        return len(self.column(self.contract.label.name))

    def column(self, name: str) -> NDArray[Any]:
        return read_column(self.contract, self.folder, self.snapshot, name, self.since, self.until)


def profile_committed(
    contract: Contract, committed: CommittedColumns, progress: Progress, most_knots: int = _MOST_KNOTS
) -> Profile:
    """Profiles column by column, so that the dataset may be larger than memory.

    Args:
        most_knots: limit for numeric columns. The default is exact for most columns, and changes a distance by less
            than 1e-4 for others.
    """
    columns = {}
    with progress.step("Profile", len(contract.dataset_columns)) as advance:
        for column in contract.dataset_columns:
            columns[column.name] = profile_column(column, committed.column(column.name), most_knots)
            advance(column.name)
    return Profile(next(iter(columns.values())).rows, columns)


def read_reference(contract: Contract, folder: Path, against: str, progress: Progress) -> tuple[str, Profile]:
    """The display name of a reference, and its profile.

    Args:
        folder: of all datasets.
        against: a version of the dataset ("3"); a time slice of the latest version ("2013-09-01..2013-10-01", either
            end optional) or of another ("3:2013-09-01.."); or the path of a release's reference profile.

    Raises:
        DataError: the time slice or the profile is not valid, or the contract has no event time to slice by.
        NotFoundError: there is no such version or file.
    """
    if against.isdecimal():
        chosen = TimeSlice(contract, folder, find_snapshot(contract.name, folder, int(against)))
        return chosen.name, profile_committed(contract, chosen, progress)
    if of_time := _SLICE.fullmatch(against):
        version = int(of_time["version"]) if of_time["version"] else None
        since, until = (parse_moment(of_time[end]) if of_time[end] else None for end in ("since", "until"))
        chosen = TimeSlice(contract, folder, find_snapshot(contract.name, folder, version), since, until)
        return chosen.name, profile_committed(contract, chosen, progress)
    path = Path(against)
    if not path.is_file():
        raise NotFoundError(
            f"{against!r} is not a version, a time slice or a file; give a version, a time slice such as "
            "2013-09-01..2013-10-01, or the path of a reference profile"
        )
    return path.name, Profile.from_json(path.read_bytes())


def parse_moment(text: str) -> np.datetime64:
    """Parses an instant in UTC: "2013-09-01" or "2013-09-01T12:30".

    Raises:
        DataError: the text is not an instant.
    """
    try:
        if not _MOMENT.fullmatch(text):
            raise ValueError
        return np.datetime64(text.removesuffix("Z"), "us")
    except ValueError:
        raise DataError(f"{text!r} is not an instant; write it as 2013-09-01 or 2013-09-01T12:30, in UTC") from None
