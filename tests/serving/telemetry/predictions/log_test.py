from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.flights import make_columns
from support.prediction_logs import entry, make_log, read, wait_until
from support.wires import add_column

from athanor.contract.columns import Kind
from athanor.errors import SettingsError
from projects.delays.model import MODEL

_CONTRACT: Final = MODEL.contract
_ARROW: Final = {
    Kind.NUMBER: pa.float64(),
    Kind.INTEGER: pa.int64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TEXT: pa.string(),
    Kind.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}


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


def test_rows_after_the_close_are_dropped_and_counted(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    log.close()
    log.append(entry(make_columns(1), 0, 1))
    assert log.dropped["queue"] == 1
    log.close()


def test_a_contract_with_a_column_of_the_log_is_refused(tmp_path: Path) -> None:
    columns = (replace(_CONTRACT.columns[0], name="request_id"), *_CONTRACT.columns[1:])
    with pytest.raises(SettingsError, match="request_id; rename"):
        make_log(tmp_path, replace(_CONTRACT, columns=columns))


def test_a_contract_whose_answer_has_a_column_of_the_row_is_refused(tmp_path: Path) -> None:
    answer = (replace(_CONTRACT.prediction, name="distance"),)
    with pytest.raises(SettingsError, match="share columns named distance; rename them in the contract"):
        make_log(tmp_path, replace(_CONTRACT, answer=answer))


def test_rows_of_a_newer_wire_lie_in_files_of_their_own(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    columns = make_columns(4)
    log.append(entry(columns, 0, 2))
    wait_until(lambda: bool(log.model.rows))
    log.model.follow(add_column("gate"))
    # Answered before the wire changed, written after.
    log.append(entry(columns, 2, 1))
    log.append(entry({**columns, "gate": np.array(["", "A1", "A2", "A3"], dtype=object)}, 3, 1))
    log.close()
    assert (log.written, log.dropped) == (4, {"queue": 0, "failed": 0})
    older, newer = sorted((pq.read_table(path) for path in tmp_path.rglob("*.parquet")), key=lambda t: len(t.schema))
    assert "gate" not in older.schema.names
    assert newer["gate"].to_pylist() == [None, "A3"]
