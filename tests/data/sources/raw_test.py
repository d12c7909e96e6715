"""Raw tables are kept as they came, the same bytes once, with a record of them."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from support.sources import list_names, take, write

from athanor.data.sources.delimited import DelimitedFiles
from athanor.data.sources.function import FunctionSource
from athanor.data.sources.parquet import ParquetFiles
from athanor.data.sources.raw import Raw, RawFile, keep_raw, read_record, record_time_range
from athanor.data.sources.source import Source
from athanor.errors import DataError, NotFoundError, SettingsError

_ONE = b"id\n1\n"
_TWO = b"id\n2\n"
_EARLY = datetime(2013, 1, 1, tzinfo=UTC)
_LATE = datetime(2013, 1, 31, 23, 59, 59, 500_000, tzinfo=UTC)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, DelimitedFiles]:
    return {
        "flights": DelimitedFiles(write(tmp_path / "from" / "one.csv", _ONE)),
        "planes": DelimitedFiles(write(tmp_path / "from" / "two.csv", _TWO)),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_tables_are_kept_below_their_digest_as_they_came(sources: dict[str, DelimitedFiles], folder: Path) -> None:
    raw = keep_raw(sources, folder)
    assert raw.is_new
    assert raw.folder == folder / raw.digest[:16]
    assert list_names(folder) == sorted(
        [f"{raw.folder.name}.json", f"{raw.folder.name}/flights/one.csv", f"{raw.folder.name}/planes/two.csv"]
    )
    assert (raw.table("planes") / "two.csv").read_bytes() == _TWO
    assert take(sources["flights"].open(raw.table("flights"), 10)).to_pylist() == [{"id": 1}]


def test_the_digest_covers_names_and_bytes(sources: dict[str, DelimitedFiles], folder: Path) -> None:
    lines = f"flights/one.csv\0{_sha256(_ONE)}\nplanes/two.csv\0{_sha256(_TWO)}\n"
    assert keep_raw(sources, folder).digest == _sha256(lines.encode())
    swapped = {"flights": sources["planes"], "planes": sources["flights"]}
    assert keep_raw(swapped, folder).digest != _sha256(lines.encode())


def test_the_same_bytes_are_kept_once_wherever_they_lie(
    sources: dict[str, DelimitedFiles], folder: Path, tmp_path: Path
) -> None:
    first = keep_raw(sources, folder)
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "from", moved)
    elsewhere = {"planes": DelimitedFiles(moved / "two.csv"), "flights": DelimitedFiles(moved / "one.csv")}
    assert keep_raw(elsewhere, folder) == Raw(first.digest, first.folder, is_new=False)
    assert _entries(folder) == [first.folder.name, f"{first.folder.name}.json"]


def test_changed_bytes_are_kept_beside_the_earlier_ones(
    sources: dict[str, DelimitedFiles], folder: Path, tmp_path: Path
) -> None:
    before = keep_raw(sources, folder)
    write(tmp_path / "from" / "one.csv", b"id\n3\n")
    after = keep_raw(sources, folder)
    assert after.is_new
    assert (before.table("flights") / "one.csv").read_bytes() == _ONE
    assert (after.table("flights") / "one.csv").read_bytes() == b"id\n3\n"


def test_a_table_that_is_not_there_is_named_beside_those_that_are(
    sources: dict[str, DelimitedFiles], folder: Path
) -> None:
    with pytest.raises(NotFoundError, match="there is no raw table weather; there are: flights, planes"):
        keep_raw(sources, folder).table("weather")


def test_all_missing_inputs_are_listed_and_nothing_is_stored(
    sources: dict[str, DelimitedFiles], folder: Path, tmp_path: Path
) -> None:
    absent: dict[str, Source] = {
        "weather": DelimitedFiles(tmp_path / "gone.csv"),
        "pilots": ParquetFiles(tmp_path / "gone.parquet"),
    }
    with pytest.raises(NotFoundError, match=r"weather: .*gone\.csv: no such file.*; pilots: .*gone\.parquet: no such"):
        keep_raw({**sources, **absent}, folder)
    assert _entries(folder) == []


def test_a_source_that_fails_leaves_nothing(sources: dict[str, DelimitedFiles], folder: Path) -> None:
    def fail() -> Iterable[pa.Table]:
        yield pa.table({"id": [1]})
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        keep_raw({**sources, "weather": FunctionSource(fail)}, folder)
    assert _entries(folder) == []


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_table_must_have_a_name_for_a_folder(folder: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="table names"):
        keep_raw({name: FunctionSource(list)}, folder)
    assert not folder.exists()


@dataclass(frozen=True)
class _Events:
    """What an upstream system has by now, and what it was asked for."""

    rows: list[int] = field(default_factory=list)
    asked: list[datetime | None] = field(default_factory=list)

    def read(self, since: datetime | None) -> Iterable[pa.Table]:
        self.asked.append(since)
        return [pa.table({"day": [day for day in self.rows if since is None or day >= since.day]})]


def test_incremental_sources_get_since(folder: Path) -> None:
    events = _Events([1, 2])
    sources = {"events": FunctionSource(events.read)}
    keep_raw(sources, folder)
    events.rows.append(3)
    raw = keep_raw(sources, folder, since=datetime(2013, 1, 2, tzinfo=UTC))
    assert events.asked == [None, datetime(2013, 1, 2, tzinfo=UTC)]
    assert take(sources["events"].open(raw.table("events"), 10))["day"].to_pylist() == [2, 3]


def test_since_must_be_an_instant(folder: Path) -> None:
    with pytest.raises(SettingsError, match="since 2013-01-01 00:00:00 has no time zone"):
        keep_raw({}, folder, since=datetime(2013, 1, 1))  # noqa: DTZ001 - that is what is refused


# Records


def test_a_record_lists_files_and_the_time_of_the_first_ingest(
    sources: dict[str, DelimitedFiles], folder: Path
) -> None:
    before = datetime.now(UTC)
    raw = keep_raw(sources, folder)
    record = read_record(folder, raw.digest)
    assert record.digest == raw.digest
    assert before <= record.ingested_at <= datetime.now(UTC)
    assert record.files == {
        "flights/one.csv": RawFile(_sha256(_ONE), len(_ONE)),
        "planes/two.csv": RawFile(_sha256(_TWO), len(_TWO)),
    }
    assert (record.first_event, record.last_event) == (None, None)
    keep_raw(sources, folder)
    assert read_record(folder, raw.digest[:16]) == record


def test_the_range_of_time_is_recorded_once_it_is_known(sources: dict[str, DelimitedFiles], folder: Path) -> None:
    raw = keep_raw(sources, folder)
    before = read_record(folder, raw.digest)
    record_time_range(raw, _EARLY, _LATE)
    after = read_record(folder, raw.digest)
    assert (after.first_event, after.last_event) == (_EARLY, _LATE)
    assert (after.ingested_at, after.files) == (before.ingested_at, before.files)
    written = json.loads((folder / f"{raw.digest[:16]}.json").read_text())
    assert written["last_event"] == "2013-01-31T23:59:59.500000Z"
    keep_raw(sources, folder)
    assert read_record(folder, raw.digest) == after


def test_a_record_that_a_killed_process_did_not_write_is_written_next_time(
    sources: dict[str, DelimitedFiles], folder: Path
) -> None:
    raw = keep_raw(sources, folder)
    (folder / f"{raw.digest[:16]}.json").unlink()
    assert not keep_raw(sources, folder).is_new
    assert read_record(folder, raw.digest).digest == raw.digest


def test_an_absent_record_is_named_beside_those_that_are(sources: dict[str, DelimitedFiles], folder: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no raw tables 0{16} in .*; there are: none"):
        read_record(folder, "0" * 64)
    raw = keep_raw(sources, folder)
    with pytest.raises(NotFoundError, match=f"there are: {raw.digest[:16]}"):
        read_record(folder, "0" * 64)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"digest": 1, "files": {"a": {}}}', "\xff"])
def test_a_damaged_record_is_refused(sources: dict[str, DelimitedFiles], folder: Path, content: str) -> None:
    raw = keep_raw(sources, folder)
    (folder / f"{raw.digest[:16]}.json").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match=r"\.json is damaged .*; delete it and ingest again"):
        read_record(folder, raw.digest)


# What killed processes left


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    for entry in (*path.rglob("*"), path):
        os.utime(entry, (then, then))


def test_files_of_a_killed_process_are_deleted_after_a_day(sources: dict[str, DelimitedFiles], folder: Path) -> None:
    old, new, file = folder / ".arriving-old", folder / ".arriving-new", folder / ".arriving-file"
    for left in (old, new):
        write(left / "flights" / "one.csv", b"half")
    write(file, b"half a record")
    for left in (old, file):
        _age(left, 86_400 + 60)
    _age(new, 86_400 - 3600)
    raw = keep_raw(sources, folder)
    assert _entries(folder) == [".arriving-new", raw.folder.name, f"{raw.folder.name}.json"]


def test_a_long_fetch_that_still_writes_is_left_alone(sources: dict[str, DelimitedFiles], folder: Path) -> None:
    write(folder / ".arriving-slow" / "flights" / "one.csv", b"half")
    _age(folder / ".arriving-slow", 90_000)
    write(folder / ".arriving-slow" / "flights" / "one.csv", b"half and more")
    keep_raw(sources, folder)
    assert (folder / ".arriving-slow").is_dir()


def test_an_interrupted_copy_is_never_trusted(sources: dict[str, DelimitedFiles], folder: Path) -> None:
    write(folder / ".arriving-killed" / "flights" / "one.csv", b"")
    raw = keep_raw(sources, folder)
    assert (raw.table("flights") / "one.csv").read_bytes() == _ONE
