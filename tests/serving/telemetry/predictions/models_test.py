"""The prediction logs of several models, which one thread writes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from support.flights import make_columns
from support.prediction_logs import SlowDisk, entry, read, wait_until

from athanor.errors import SettingsError
from athanor.serving.telemetry.predictions.log import PredictionLog
from athanor.serving.telemetry.predictions.queue import Limits
from projects.delays.model import MODEL

_DELAYS: Final = MODEL.contract
_OTHER: Final = replace(_DELAYS, name="other")
_COLUMNS: Final = make_columns(10)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.freed.set()


def test_each_model_has_a_folder_and_counts_of_its_own(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    log.open(_DELAYS).append(entry(_COLUMNS, 0, 10))
    log.open(_OTHER).append(entry(_COLUMNS, 0, 4))
    log.close()
    assert [len(read(tmp_path / name)) for name in ("delays", "other")] == [10, 4]
    assert {name: counts.written for name, counts in log.counts.items()} == {"delays": 10, "other": 4}


def test_a_flooded_model_makes_no_row_of_another_drop(tmp_path: Path, disk: SlowDisk) -> None:
    log = PredictionLog(tmp_path, Limits(rows=1_000, flush_rows=10))
    flooded, quiet = log.open(_DELAYS), log.open(_OTHER)
    flooded.append(entry(_COLUMNS, 0, 10))
    assert disk.entered.wait(60)
    for _ in range(25):
        for _ in range(20):
            flooded.append(entry(_COLUMNS, 0, 10))
        quiet.append(entry(_COLUMNS, 0, 10))
    disk.freed.set()
    log.close()
    assert log.counts["delays"].refused > 4_000
    assert log.counts["delays"].written > 400
    assert log.counts["other"].dropped == {"queue": 0, "failed": 0}
    assert log.counts["other"].written == len(read(tmp_path / "other")) == 250


def test_a_full_memory_is_freed_by_the_fullest_log_and_others_go_on_to_gather(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Limits(flush_rows=100, flush_s=3_600))
    large, small = log.open(_DELAYS), log.open(_OTHER)
    small.append(entry(_COLUMNS, 0, 10))
    wait_until(lambda: small.rows == 10)
    for _ in range(10):
        large.append(entry(_COLUMNS, 0, 10))
    wait_until(lambda: log.counts["delays"].written == 100)
    assert (log.counts["other"].written, small.rows) == (0, 10)
    log.close()
    assert log.counts["other"].written == 10


def test_a_model_that_leaves_has_its_rest_written_at_once_and_later_rows_dropped(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, Limits(flush_s=3_600))
    leaving, staying = log.open(_OTHER), log.open(_DELAYS)
    for model in (leaving, staying):
        model.append(entry(_COLUMNS, 0, 10))
    leaving.close()
    wait_until(lambda: log.counts["other"].written == 10)
    assert log.counts["delays"].written == 0
    leaving.append(entry(_COLUMNS, 0, 10))
    assert log.counts["other"].dropped == {"queue": 10, "failed": 0}
    wait_until(lambda: log._logs == (staying,))
    log.close()


def test_counts_of_a_model_that_comes_back_go_on(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    for _ in range(2):
        model = log.open(_OTHER)
        model.append(entry(_COLUMNS, 0, 10))
        model.close()
    log.close()
    assert log.counts["other"].written == len(read(tmp_path / "other")) == 20


def test_a_folder_that_cannot_be_written_fails_its_model_alone(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    (tmp_path / "other").write_text("in its place")
    with pytest.raises(SettingsError, match=r"prediction_log: cannot write to .*other"):
        log.open(_OTHER)
    log.open(_DELAYS).append(entry(_COLUMNS, 0, 10))
    log.close()
    assert log.counts["delays"].written == 10


def test_a_folder_that_breaks_later_drops_the_rows_of_its_model_alone(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    broken, whole = log.open(_OTHER), log.open(_DELAYS)
    (tmp_path / "other").rmdir()
    (tmp_path / "other").write_text("in its place")
    for model in (broken, whole):
        model.append(entry(_COLUMNS, 0, 10))
    log.close()
    assert log.counts["other"].dropped == {"queue": 0, "failed": 10}
    assert log.counts["delays"].written == 10
    assert log._memory.rows == log._memory.bytes == 0
