import errno
import logging
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from support.commands import environment
from support.flights import make_columns, make_unshared_columns
from support.prediction_logs import SlowDisk, entry, make_log, read, resident_bytes, wait_until

from athanor.errors import SettingsError
from athanor.serving.telemetry.predictions import files
from athanor.serving.telemetry.predictions.log import PredictionLog

# Appends until it is killed, a file every twenty entries.
_WRITER: Final = """
import sys
import time
from pathlib import Path
from support.commands import environment
from support.flights import make_columns
from athanor.serving.telemetry.predictions.log import PredictionLog
from athanor.serving.telemetry.predictions.queue import Limits
from support.prediction_logs import entry
from projects.delays.model import MODEL
log = PredictionLog(Path(sys.argv[1]), Limits(flush_rows=200, flush_s=0.01)).open(MODEL.contract)
columns = make_columns(10)
while True:
    log.append(entry(columns, 0, 10))
    time.sleep(0.001)
"""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.freed.set()


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
    assert (log.memory.rows, log.memory.bytes) == (0, 0)


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
            assert log.memory.bytes <= limit
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    waiting = log.memory.rows - rows
    assert waiting >= 2 * rows
    assert kept <= limit
    assert resident_bytes() - resident <= 2 * limit
    # All of them would have been far beyond the limit.
    assert kept / waiting * requests * rows > 2 * limit
    assert log.dropped == {"queue": requests * rows - waiting, "failed": 0}
    disk.freed.set()
    log.close()
    assert log.written == waiting + rows
    assert (log.memory.rows, log.memory.bytes) == (0, 0)


def test_a_full_disk_is_counted_and_logged_once_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    columns = make_columns(5)
    log = make_log(tmp_path, flush_rows=5, flush_s=3_600)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context, caplog.at_level(logging.WARNING):
        context.setattr(files, "write_parquet", full)
        for number in (1, 2, 3):
            log.append(entry(columns, 0, 5))
            wait_until(lambda: log.dropped["failed"] == 5 * number)  # noqa: B023 - it is called at once
        (logged,) = caplog.records
        assert "No space left on device" in logged.getMessage()
    log.append(entry(columns, 0, 5))
    log.close()
    assert (log.written, len(read(tmp_path))) == (5, 5)
    assert (log.memory.rows, log.memory.bytes) == (0, 0)
    assert not list(tmp_path.rglob(".arriving-*"))


def test_a_folder_that_disappears_only_drops_rows(tmp_path: Path) -> None:
    log = make_log(tmp_path / "log")
    (tmp_path / "log" / "delays").rmdir()
    (tmp_path / "log" / "delays").write_text("a file in its place")
    log.append(entry(make_columns(2), 0, 2))
    log.close()
    assert log.dropped == {"queue": 0, "failed": 2}
    assert (log.memory.rows, log.memory.bytes) == (0, 0)


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
        PredictionLog(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SettingsError, match="choose another folder"):
        PredictionLog(tmp_path)


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
    assert {row["request_id"] for row in read(tmp_path)} == {"r0"}


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
