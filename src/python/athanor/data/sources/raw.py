"""Raw tables, kept as their sources gave them: the same bytes once, with a record of where they came from in time."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from athanor.data.sources.files import list_files, name_of
from athanor.data.sources.source import Source
from athanor.errors import DataError, NotFoundError, SettingsError
from athanor.system.atomic import remove_abandoned, rename_folder, replace_file, temporary_folder

_DIGITS: Final = 16  # of the digest, in names of folders and records
_ABANDONED_S: Final = 86_400.0
_NAME: Final = re.compile(r"[A-Za-z0-9_][\w.-]*")


@dataclass(frozen=True)
class Raw:
    """Raw tables as they were kept.

    Attributes:
        digest: sha256, in hexadecimal, over names and bytes of all files.
        folder: has a folder for each table.
        is_new: whether these very bytes were not there before.
    """

    digest: str
    folder: Path
    is_new: bool

    def table(self, name: str) -> Path:
        """The folder of one table, for its source to open. Raises NotFoundError if there is none of that name."""
        path = self.folder / name
        if not path.is_dir():
            names = ", ".join(sorted(found.name for found in self.folder.iterdir()))
            raise NotFoundError(f"there is no raw table {name}; there are: {names}")
        return path


@dataclass(frozen=True)
class RawFile:
    """One file that was kept: its sha256, in hexadecimal, and its length."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class RawRecord:
    """What is known of raw tables.

    Attributes:
        digest: as of `Raw`.
        ingested_at: UTC; when these bytes came for the first time.
        files: by `table/name`.
        first_event: UTC; earliest event time of the rows that were made of them, None until it is known.
        last_event: UTC; the latest.
    """

    digest: str
    ingested_at: datetime
    files: Mapping[str, RawFile]
    first_event: datetime | None = None
    last_event: datetime | None = None


def keep_raw(sources: Mapping[str, Source], folder: Path, since: datetime | None = None) -> Raw:
    """Fetches each source into `folder/<digest>/<name>/`, or finds the same bytes there already.

    Args:
        sources: by the name of their table.
        since: event time, UTC, from which on incremental sources give rows; None for all.

    Raises:
        NotFoundError: inputs are not there; all are named.
        SettingsError: a table's name is no name of a folder, or `since` has no time zone.
        DataError: a source cannot be read.
    """
    if wrong := [name for name in sources if not _NAME.fullmatch(name)]:
        raise SettingsError(f"tables cannot be called {wrong}; use letters, digits, '_', '-' and '.'")
    if since is not None and since.tzinfo is None:
        raise SettingsError(f"since {since} has no time zone; give an instant")
    remove_abandoned(folder, _ABANDONED_S)
    with temporary_folder(folder) as arriving:
        _fetch(sources, arriving, since)
        files = _describe(arriving)
        digest = _digest(files)
        kept = folder / digest[:_DIGITS]
        is_new = rename_folder(arriving, kept)
    if not _record_path(folder, digest).exists():
        _write_record(folder, RawRecord(digest, datetime.now(UTC), files))
    return Raw(digest, kept, is_new)


def _fetch(sources: Mapping[str, Source], into: Path, since: datetime | None) -> None:
    absent = []
    for name, source in sources.items():
        (into / name).mkdir()
        try:
            source.fetch(into / name, since)
        except NotFoundError as error:
            absent.append(f"{name}: {error}")
    if absent:
        raise NotFoundError(f"raw tables are not there: {'; '.join(absent)}")


def _describe(folder: Path) -> dict[str, RawFile]:
    described = {}
    for path in list_files(folder):
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        described[name_of(path, folder)] = RawFile(sha256, path.stat().st_size)
    return described


def _digest(files: Mapping[str, RawFile]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name}\0{file.sha256}\n".encode())
    return digest.hexdigest()


def record_time_range(raw: Raw, first: datetime, last: datetime) -> None:
    """Adds the range of event time to the record of raw tables."""
    record = read_record(raw.folder.parent, raw.digest)
    _write_record(raw.folder.parent, replace(record, first_event=first, last_event=last))


def read_record(folder: Path, digest: str) -> RawRecord:
    """The record of the raw tables with a digest, or with that beginning of one (16 digits or more).

    Raises:
        NotFoundError: there are no such raw tables.
        DataError: the record is damaged.
    """
    path = _record_path(folder, digest)
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        known = ", ".join(sorted(found.stem for found in folder.glob("*.json"))) or "none"
        raise NotFoundError(f"no raw tables {digest[:_DIGITS]} in {folder}; there are: {known}") from None
    except ValueError as error:
        raise _damaged(path, error) from None
    try:
        return _from_json(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged ({error!r}); remove it and ingest again, which writes it anew")


def _record_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest[:_DIGITS]}.json"


def _write_record(folder: Path, record: RawRecord) -> None:
    values = {
        "digest": record.digest,
        "ingested_at": _iso(record.ingested_at),
        "first_event": record.first_event and _iso(record.first_event),
        "last_event": record.last_event and _iso(record.last_event),
        "files": {name: {"sha256": file.sha256, "bytes": file.bytes} for name, file in sorted(record.files.items())},
    }
    replace_file(_record_path(folder, record.digest), json.dumps(values, indent=2).encode())


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()


def _from_json(values: Any) -> RawRecord:
    first, last = (values[name] and datetime.fromisoformat(values[name]) for name in ("first_event", "last_event"))
    return RawRecord(
        digest=values["digest"],
        ingested_at=datetime.fromisoformat(values["ingested_at"]),
        files={name: RawFile(**file) for name, file in values["files"].items()},
        first_event=first,
        last_event=last,
    )
