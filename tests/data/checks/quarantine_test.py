"""Rows that were set aside: all of them, in one file for each ingest, or none."""

import errno
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.protos import Toy

from athanor.data.checks.quarantine import Quarantine, Quarantined, list_quarantined
from athanor.data.checks.row_checks import REASONS

_RAW: Final = "0123456789abcdef" * 4
_OTHER_RAW: Final = "fedcba9876543210" * 4
_FINGERPRINT: Final = Toy().read().fingerprint


def _rejected(*reasons: list[str], first: int = 0) -> pa.Table:
    """Numbered rows with their reasons."""
    rows = pa.array(range(first, first + len(reasons)), pa.int64())
    return pa.table({"row": rows, REASONS: pa.array(list(reasons), pa.list_(pa.string()))})


def _keep(folder: Path, *tables: pa.Table, raw: str = _RAW) -> Path | None:
    with Quarantine(folder) as quarantine:
        for table in tables:
            quarantine.add(table)
        return quarantine.keep(raw, _FINGERPRINT)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_full_disk_is_an_error_of_the_folder_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    monkeypatch.setattr(pq.ParquetWriter, "close", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        _keep(tmp_path, _rejected(["UNIQUE"]))
    assert error.value.filename == str(tmp_path)
    assert not _names(tmp_path)


def test_every_row_is_kept_with_all_its_reasons(tmp_path: Path) -> None:
    batches = [_rejected(["id MISSING", "at FUTURE"], ["at FUTURE"]), _rejected(["UNIQUE"], first=2)]
    path = _keep(tmp_path / "toy", *batches)
    assert path is not None
    assert pq.read_table(path).equals(pa.concat_tables(batches))


def test_the_file_is_called_by_its_raw_input_and_its_contract(tmp_path: Path) -> None:
    path = _keep(tmp_path, _rejected(["UNIQUE"]))
    assert path == tmp_path / f"{_RAW[:16]}-{_FINGERPRINT[:16]}.parquet"
    assert _names(tmp_path) == [path.name]


@pytest.mark.parametrize("tables", [(), (_rejected(),)])
def test_where_no_row_was_rejected_there_is_no_file(tmp_path: Path, tables: tuple[pa.Table, ...]) -> None:
    assert _keep(tmp_path / "toy", *tables) is None
    assert not (tmp_path / "toy").exists()


def test_a_batch_without_rejected_rows_among_others_changes_nothing(tmp_path: Path) -> None:
    path = _keep(tmp_path, _rejected(["UNIQUE"]), _rejected(), _rejected(["at FUTURE"], first=1))
    assert pq.read_table(path).num_rows == 2


def test_reading_the_same_input_again_replaces_its_quarantine(tmp_path: Path) -> None:
    _keep(tmp_path, _rejected(["UNIQUE"]))
    path = _keep(tmp_path, _rejected(["at FUTURE"], ["at FUTURE"]))
    assert path is not None
    assert _names(tmp_path) == [path.name]
    assert pq.read_table(path).num_rows == 2


@pytest.mark.parametrize("error", [RuntimeError("disk full"), KeyboardInterrupt()])
def test_an_ingest_that_fails_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def ingest() -> None:
        with Quarantine(tmp_path) as quarantine:
            quarantine.add(_rejected(["UNIQUE"]))
            assert len(_names(tmp_path)) == 1
            raise error

    with pytest.raises(type(error)):
        ingest()
    assert _names(tmp_path) == []


def test_an_ingest_that_keeps_no_file_leaves_earlier_ones(tmp_path: Path) -> None:
    kept = _keep(tmp_path, _rejected(["UNIQUE"]))
    assert kept is not None
    with Quarantine(tmp_path) as quarantine:
        quarantine.add(_rejected(["at FUTURE"]))
    assert _names(tmp_path) == [kept.name]
    assert pq.read_table(kept)[REASONS].to_pylist() == [["UNIQUE"]]


def test_files_of_a_killed_ingest_are_not_listed_and_deleted_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / ".arriving-old", tmp_path / ".arriving-young"
    for path, age in ((old, timedelta(hours=25)), (young, timedelta(hours=23))):
        path.write_bytes(b"half")
        moment = time.time() - age.total_seconds()
        os.utime(path, (moment, moment))
    assert list(list_quarantined(tmp_path)) == []
    kept = _keep(tmp_path, _rejected(["UNIQUE"]))
    assert kept is not None
    assert _names(tmp_path) == [young.name, kept.name]


def test_two_ingests_at_once_do_not_mix(tmp_path: Path) -> None:
    with Quarantine(tmp_path) as one, Quarantine(tmp_path) as other:
        for number in range(3):
            one.add(_rejected(["UNIQUE"], first=number))
            other.add(_rejected(["at FUTURE"], first=10 + number))
        paths = [one.keep(_RAW, _FINGERPRINT), other.keep(_OTHER_RAW, _FINGERPRINT)]
    assert [pq.read_table(path)["row"].to_pylist() for path in paths] == [[0, 1, 2], [10, 11, 12]]


def test_they_are_listed_oldest_first_and_a_row_counts_under_each_of_its_reasons(tmp_path: Path) -> None:
    first = _keep(tmp_path, _rejected(["id MISSING", "at FUTURE"], ["at FUTURE"]), raw=_OTHER_RAW)
    second = _keep(tmp_path, _rejected(["UNIQUE"]))
    assert first is not None
    assert second is not None
    for age_s, path in ((60, first), (30, second)):
        moment = time.time() - age_s
        os.utime(path, (moment, moment))
    digits = _FINGERPRINT[:16]
    found = list(list_quarantined(tmp_path))
    assert list(found[0].reasons) == ["at FUTURE", "id MISSING"]
    assert found == [
        Quarantined(first, _OTHER_RAW[:16], digits, rows=2, reasons={"at FUTURE": 2, "id MISSING": 1}),
        Quarantined(second, _RAW[:16], digits, rows=1, reasons={"UNIQUE": 1}),
    ]


def test_without_quarantined_rows_the_list_is_empty(tmp_path: Path) -> None:
    assert list(list_quarantined(tmp_path / "nowhere")) == []
