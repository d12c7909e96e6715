"""The store of raw input: unmodified, addressed by content, with a record of when it came and what it covers."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from athanor.data.sources.files import list_files, name_of
from athanor.data.sources.source import Source
from athanor.errors import DataError, NotFoundError, SettingsError
from athanor.system.atomic import remove_abandoned, rename_folder, replace_file, temporary_folder

_DIGITS: Final = 16  # of the digest, in folder and record names
_ABANDONED_S: Final = 86_400.0
_NAME: Final = re.compile(r"[A-Za-z0-9_][\w.-]*")


@dataclass(frozen=True)
class Raw:
    """Raw tables in the store.

    Attributes:
        digest: sha256, in hexadecimal, over names and bytes of all files.
        folder: contains one folder per table.
        is_new: whether the store did not contain the same bytes before.
    """

    digest: str
    folder: Path
    is_new: bool

    def table(self, name: str) -> Path:
        """The folder of one table, for its source to open. Raises NotFoundError if there is no such table."""
        path = self.folder / name
        if not path.is_dir():
            names = ", ".join(sorted(found.name for found in self.folder.iterdir()))
            raise NotFoundError(f"there is no raw table {name}; there are: {names}")
        return path


@dataclass(frozen=True)
class RawFile:
    """One stored file: its sha256, in hexadecimal, and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class RawRecord:
    """What the store records about raw tables.

    Attributes:
        digest: see `Raw`.
        ingested_at: UTC; when these bytes were first ingested.
        files: by `table/name`.
        first_event, last_event: UTC; earliest and latest event time of their rows, None until known.
    """

    digest: str
    ingested_at: datetime
    files: Mapping[str, RawFile]
    first_event: datetime | None = None
    last_event: datetime | None = None


_RECORDS: Final = TypeAdapter(RawRecord)


def keep_raw(sources: Mapping[str, Source], folder: Path, since: datetime | None = None) -> Raw:
    """Fetches each source into `folder/<digest>/<name>/`, unless the same bytes are already there.

    Args:
        sources: by table name.
        since: event time, UTC, of the first rows that incremental sources return; None for all.

    Raises:
        NotFoundError: inputs are missing; the message lists all of them.
        SettingsError: a table's name cannot be a folder name, or `since` has no time zone.
        DataError: a source cannot be read.
    """
    if wrong := [name for name in sources if not _NAME.fullmatch(name)]:
        raise SettingsError(f"table names {wrong} are not valid; use letters, digits, '_', '-' and '.'")
    if since is not None and since.tzinfo is None:
        raise SettingsError(f"since {since} has no time zone; add one")
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
    """Adds the range of event times to the record of raw tables."""
    record = read_record(raw.folder.parent, raw.digest)
    _write_record(raw.folder.parent, replace(record, first_event=first, last_event=last))


def read_record(folder: Path, digest: str) -> RawRecord:
    """The record of the raw tables with this digest, or this prefix of one (16 digits or more).

    Raises:
        NotFoundError: there are no such raw tables.
        DataError: the record is damaged.
    """
    path = _record_path(folder, digest)
    try:
        return _RECORDS.validate_json(path.read_bytes())
    except FileNotFoundError:
        known = ", ".join(sorted(found.stem for found in folder.glob("*.json"))) or "none"
        raise NotFoundError(f"no raw tables {digest[:_DIGITS]} in {folder}; there are: {known}") from None
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise DataError(f"{path} is damaged ({reason}); delete it and ingest again, which writes a new one") from None


def _record_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest[:_DIGITS]}.json"


def _write_record(folder: Path, record: RawRecord) -> None:
    replace_file(_record_path(folder, record.digest), _RECORDS.dump_json(record, indent=2))
