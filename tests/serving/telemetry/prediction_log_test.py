import errno
import logging
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from arro3.io import write_parquet
from support.commands import environment
from support.flights import make_columns, make_unshared_columns
from support.wires import add_column

from athanor.contract.columns import Kind
from athanor.errors import SettingsError
from athanor.serving.telemetry import prediction_log as prediction_log_module
from athanor.serving.telemetry.prediction_log import PredictionLog
from athanor.serving.telemetry.prediction_queue import Limits
from athanor.serving.telemetry.prediction_rows import Entry
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_AT: Final = int(datetime(2026, 2, 3, 12, 0, 0, 123_456, UTC).timestamp()) * 1_000_000_000 + 123_456_789
_ARROW: Final = {
    Kind.NUMBER: pa.float64(),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TEXT: pa.string(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}

# Appends until it is killed, a file every twenty entries.
_WRITER: Final = """
import sys
import time
from pathlib import Path
import numpy as np
from support.commands import environment
from support.flights import make_columns
from athanor.serving.telemetry.prediction_log import PredictionLog
from athanor.serving.telemetry.prediction_queue import Limits
from athanor.serving.telemetry.prediction_rows import Entry
from projects.delays.model import MODEL
log = PredictionLog(Path(sys.argv[1]), MODEL.contract, Limits(flush_rows=200, flush_s=0.01))
columns = make_columns(10)
while True:
    log.append(Entry("r", 1_770_000_000_000_000_000, "grpc", "champion", "1", "d", columns, 0, np.full(10, 0.5)))
    time.sleep(0.001)
"""


def make_log(folder: Path, **limits: Any) -> PredictionLog:
    return PredictionLog(folder, _CONTRACT, Limits(**limits))


def entry(columns: Any, first: int, count: int, *, at_ns: int = _AT, variant: str = "champion") -> Entry:
    probabilities = np.linspace(0.1, 0.9, count)
    return Entry(f"r{first}", at_ns, "grpc", variant, "1.2.3", "d" * 64, columns, first, probabilities)


def read(folder: Path) -> list[dict[str, Any]]:
    table = ds.dataset(folder, format="parquet").to_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return found


class SlowDisk:
    """A disk whose first write begins, sets `entered`, and goes on when `freed` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.freed = threading.Event(), threading.Event()
        self._write = write_parquet
        monkeypatch.setattr(prediction_log_module, "write_parquet", self)

    def __call__(self, *args: Any, **options: Any) -> None:
        self.entered.set()
        assert self.freed.wait(60)
        self._write(*args, **options)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.freed.set()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rows_are_read_back_with_the_contracts_types_and_missing_values_as_nulls(tmp_path: Path) -> None:
    columns = make_columns(1_200)
    log = make_log(tmp_path)
    for first in range(100):
        log.append(entry(columns, first, 1))
    log.append(entry(columns, 100, 1_100))
    log.close()
    (path,) = tmp_path.rglob("*.parquet")
    assert path.relative_to(tmp_path).parts[:2] == ("delays", "date=2026-02-03")
    table = pq.read_table(path)
    for column in _CONTRACT.columns:
        assert table.schema.field(column.name).type == _ARROW[column.kind]
        expected = [_plain(column.kind, value) for value in columns[column.name]]
        assert [_unzoned(value) for value in table[column.name].to_pylist()] == expected
    assert any(table[column.name].null_count for column in _CONTRACT.columns)
    assert table["row"].to_pylist() == [0] * 100 + list(range(1_100))
    assert table["request_id"].to_pylist() == [f"r{i}" for i in range(100)] + ["r100"] * 1_100
    assert table[_CONTRACT.prediction.name].to_pylist()[100:] == np.linspace(0.1, 0.9, 1_100).tolist()
    assert set(table["at"].to_pylist()) == {datetime(2026, 2, 3, 12, 0, 0, 123_456, UTC)}
    for name, value in (("door", "grpc"), ("variant", "champion"), ("semantic_version", "1.2.3")):
        assert set(table[name].to_pylist()) == {value}
    assert set(table["release_digest"].to_pylist()) == {"d" * 64}
    assert (log.written, sum(log.dropped.values())) == (1_200, 0)


def _plain(kind: Kind, value: Any) -> Any:
    if kind is Kind.TEXT:
        return value or None
    if kind is Kind.TIMESTAMP:
        return None if np.isnat(value) else value.item()
    if np.isnan(value):
        return None
    return {Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.NUMBER: float}[kind](value)


def _unzoned(value: Any) -> Any:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def test_missing_texts_and_times_are_nulls_and_half_a_character_is_replaced(tmp_path: Path) -> None:
    columns = make_columns(4)
    columns["carrier"] = np.array(["", "a\ud800", "ü\x00", "UA"], dtype=object)
    columns["scheduled_departure"] = np.array(
        ["NaT", "2013-01-01", "NaT", "1969-12-31T23:59:59.999999"], dtype="M8[us]"
    )
    log = make_log(tmp_path)
    log.append(entry(columns, 0, 4))
    log.close()
    rows = read(tmp_path)
    assert [row["carrier"] for row in rows] == [None, "a?", "ü\x00", "UA"]
    assert [row["scheduled_departure"] is None for row in rows] == [True, False, True, False]
    assert rows[3]["scheduled_departure"] == datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)


def test_a_shadows_rows_have_the_request_id_of_the_answer(tmp_path: Path) -> None:
    columns = make_columns(1)
    log = make_log(tmp_path)
    log.append(entry(columns, 0, 1))
    log.append(entry(columns, 0, 1, variant="shadow"))
    log.close()
    assert [(row["request_id"], row["variant"]) for row in read(tmp_path)] == [("r0", "champion"), ("r0", "shadow")]


def test_a_file_holds_rows_of_one_day(tmp_path: Path) -> None:
    columns = make_columns(1)
    midnight = 1_770_076_800_000_000_000
    log = make_log(tmp_path)
    log.append(entry(columns, 0, 1, at_ns=midnight - 1))
    log.append(entry(columns, 0, 1, at_ns=midnight))
    log.close()
    days = sorted(path.parent.name for path in tmp_path.rglob("*.parquet"))
    assert days == ["date=2026-02-02", "date=2026-02-03"]


def test_enough_rows_or_enough_time_make_a_file(tmp_path: Path) -> None:
    columns = make_columns(10)
    by_rows = make_log(tmp_path / "rows", flush_rows=10, flush_s=3_600)
    by_rows.append(entry(columns, 0, 10))
    wait_until(lambda: by_rows.written == 10)
    by_time = make_log(tmp_path / "time", flush_s=0.01)
    by_time.append(entry(columns, 0, 1))
    wait_until(lambda: by_time.written == 1)
    for log in (by_rows, by_time):
        log.append(entry(columns, 0, 3))
        log.close()
    assert (len(read(tmp_path / "rows")), len(read(tmp_path / "time"))) == (13, 4)


def test_no_file_is_overwritten_by_another_replica_or_a_restart(tmp_path: Path) -> None:
    columns = make_columns(1)
    for _ in range(3):
        log = make_log(tmp_path)
        log.append(entry(columns, 0, 1))
        log.close()
    assert len(read(tmp_path)) == 3


def test_a_slow_disk_drops_and_counts_what_exceeds_the_limit_and_delays_no_request(
    tmp_path: Path, disk: SlowDisk
) -> None:
    columns = make_columns(10)
    log = make_log(tmp_path, rows=35, flush_rows=10)
    log.append(entry(columns, 0, 10))
    assert disk.entered.wait(60)
    for _ in range(10):
        log.append(entry(columns, 0, 10))
    # The rows that are being written count too.
    assert log.dropped["queue"] == 80
    log.append(entry(columns, 0, 5))
    disk.freed.set()
    log.close()
    assert log.written == len(read(tmp_path)) == 35
    assert (log._queue.rows, log._queue.bytes) == (0, 0)


def test_the_largest_requests_on_a_slow_disk_stay_within_the_limit_of_bytes(tmp_path: Path, disk: SlowDisk) -> None:
    limit, rows, requests = 32 * 1024 * 1024, 10_000, 30
    log = make_log(tmp_path, bytes=limit, flush_rows=rows)
    log.append(entry(make_columns(rows), 0, rows))
    assert disk.entered.wait(60)
    resident = resident_bytes()
    tracemalloc.start()
    try:
        for seed in range(requests):
            log.append(entry(make_unshared_columns(rows, seed), 0, rows))
            assert log._queue.bytes <= limit
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    waiting = log._queue.rows - rows
    assert waiting >= 2 * rows
    assert kept <= limit
    assert resident_bytes() - resident <= 2 * limit
    # All of them would have been far beyond the limit.
    assert kept / waiting * requests * rows > 2 * limit
    assert log.dropped == {"queue": requests * rows - waiting, "failed": 0}
    disk.freed.set()
    log.close()
    assert log.written == waiting + rows
    assert (log._queue.rows, log._queue.bytes) == (0, 0)


def test_rows_after_the_close_are_dropped_and_counted(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.close()
    log.append(entry(make_columns(1), 0, 1))
    assert log.dropped["queue"] == 1
    log.close()


def test_a_full_disk_is_counted_and_logged_once_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    columns = make_columns(5)
    log = make_log(tmp_path, flush_rows=5, flush_s=3_600)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context, caplog.at_level(logging.WARNING):
        context.setattr(prediction_log_module, "write_parquet", full)
        for number in (1, 2, 3):
            log.append(entry(columns, 0, 5))
            wait_until(lambda: log.dropped["failed"] == 5 * number)  # noqa: B023 - it is called at once
        (logged,) = caplog.records
        assert "No space left on device" in logged.getMessage()
    log.append(entry(columns, 0, 5))
    log.close()
    assert (log.written, len(read(tmp_path))) == (5, 5)
    assert (log._queue.rows, log._queue.bytes) == (0, 0)
    assert not list(tmp_path.rglob(".arriving-*"))


def test_a_folder_that_disappears_only_drops_rows(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log")
    (tmp_path / "log" / "delays").rmdir()
    (tmp_path / "log" / "delays").write_text("a file in its place")
    log.append(entry(make_columns(2), 0, 2))
    log.close()
    assert log.dropped == {"queue": 0, "failed": 2}
    assert (log._queue.rows, log._queue.bytes) == (0, 0)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_it_starts_on_a_disk_that_is_full_and_writes_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as context:
        context.setattr("tempfile.TemporaryFile", full)
        log = make_log(tmp_path)
    log.append(entry(make_columns(2), 0, 2))
    log.close()
    assert log.written == 2


@pytest.mark.parametrize("place", ["file", "s3://bucket/log"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    folder = Path(place) if "://" in place else tmp_path / place
    with pytest.raises(SettingsError, match="prediction_log"):
        PredictionLog(folder, _CONTRACT)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SettingsError, match="choose another folder"):
        PredictionLog(tmp_path, _CONTRACT)


def test_a_contract_with_a_column_of_the_log_is_refused(tmp_path: Path) -> None:
    columns = (replace(_CONTRACT.columns[0], name="request_id"), *_CONTRACT.columns[1:])
    with pytest.raises(SettingsError, match="request_id; rename"):
        PredictionLog(tmp_path, replace(_CONTRACT, columns=columns))


def test_files_are_whole_after_a_kill_and_a_part_is_no_file(tmp_path: Path) -> None:
    rows = 0
    for _ in range(3):
        command = [sys.executable, "-c", _WRITER, str(tmp_path)]
        before = len(list(tmp_path.rglob("*.parquet")))
        writer = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
        try:
            wait_until(lambda: len(list(tmp_path.rglob("*.parquet"))) > before + 3)  # noqa: B023 - it is called at once
        finally:
            writer.kill()
            writer.wait()
        found = read(tmp_path)
        assert len(found) > rows
        rows = len(found)
    assert {row["request_id"] for row in read(tmp_path)} == {"r"}


def test_an_old_part_left_by_a_killed_replica_is_removed(tmp_path: Path) -> None:
    day = tmp_path / "delays" / "date=2026-02-03"
    day.mkdir(parents=True)
    old, new = day / ".arriving-old", day / ".arriving-new"
    for path in (old, new):
        path.write_text("")
    os.utime(old, (0, 0))
    make_log(tmp_path).close()
    assert (old.exists(), new.exists()) == (False, True)


def test_only_the_owner_can_read_a_file(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.append(entry(make_columns(1), 0, 1))
    log.close()
    (path,) = tmp_path.rglob("*.parquet")
    assert path.stat().st_mode & 0o777 == 0o600


def test_rows_of_a_newer_wire_lie_in_files_of_their_own(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    columns = make_columns(4)
    log.append(entry(columns, 0, 2))
    wait_until(lambda: bool(log._held))
    log.follow(add_column("gate"))
    # Answered before the wire changed, written after.
    log.append(entry(columns, 2, 1))
    log.append(entry({**columns, "gate": np.array(["", "A1", "A2", "A3"], dtype=object)}, 3, 1))
    log.close()
    assert (log.written, log.dropped) == (4, {"queue": 0, "failed": 0})
    older, newer = sorted((pq.read_table(path) for path in tmp_path.rglob("*.parquet")), key=lambda t: len(t.schema))
    assert "gate" not in older.schema.names
    assert newer["gate"].to_pylist() == [None, "A3"]
